"""Pruning methods by name, as the pipeline drives them: once per epoch, then once at the end."""

import copy
from collections.abc import Callable
from typing import Protocol

from torch import nn

from reid.config import TrialConfig
from reid.models.network import ReIDNetwork
from reid.prune.allocate import layer_rates
from reid.prune.mask import decay
from reid.prune.plan import PrunePlan, select
from reid.prune.units import find_units

__all__ = ["METHODS", "BafdPruner", "NoPruner", "Pruner", "planned"]


class Pruner(Protocol):
    """A soft pruning method bound to one network.

    What a step does follows from the weights the pruner was made with and those it is given, so that a
    resumed training makes its pruner from the same initial weights and needs no other state.
    """

    def step(self, model: nn.Module, epoch: int) -> None:
        """Prune `model` softly, in place, after training epoch `epoch` (from 0)."""
        ...

    def finish(self, model: nn.Module) -> PrunePlan:
        """Set what goes to exactly zero, in place, and say what stays."""
        ...


class BafdPruner:
    """Block-wise adjacent filter decaying: rates by the initial weights, filters chosen anew each epoch.

    Args:
        model: dense network with its initial weights; left as it is.
        config: prune_rate, decay_rate, knn, max_layer_rate, efficient and scope matter.
        round_to: kept counts are rounded up to a multiple of this, >= 1.

    Raises:
        ConfigError: a layer of `model` cannot be narrowed, or `round_to` is out of range.

    Source: soft person re-identification network pruning via block-wise adjacent filter decaying, IEEE
        Transactions on Cybernetics.
    """

    def __init__(self, model: ReIDNetwork, config: TrialConfig, *, round_to: int) -> None:
        self._config, self._round_to = config, round_to
        self.units = find_units(model, config.scope)
        self.rates = layer_rates(
            model,
            self.units,
            prune_rate=config.prune_rate,
            knn=config.knn,
            max_layer_rate=config.max_layer_rate,
        )

    def plan(self, model: nn.Module) -> PrunePlan:
        """What stays by the weights of `model` as they are now; the counts are the same for all weights."""
        config = self._config
        return select(
            model, self.units, self.rates, knn=config.knn, efficient=config.efficient, round_to=self._round_to
        )

    def step(self, model: nn.Module, epoch: int) -> None:
        """Choose filters by the weights as they are and let them decay; the same after every epoch."""
        decay(model, self.units, self.plan(model), self._config.decay_rate)

    def finish(self, model: nn.Module) -> PrunePlan:
        """Choose once more, by the decayed weights, and zero what is chosen."""
        plan = self.plan(model)
        decay(model, self.units, plan, 0.0)
        return plan


class NoPruner:
    """Keeps every filter.

    Args:
        model: not looked at.
        config: not looked at.
        round_to: not looked at.
    """

    def __init__(self, model: ReIDNetwork, config: TrialConfig, *, round_to: int) -> None:
        self._plan = PrunePlan(units=(), kept={})

    def step(self, model: nn.Module, epoch: int) -> None:
        """Leave `model` as it is."""

    def finish(self, model: nn.Module) -> PrunePlan:
        """A plan without units; its slim network is a copy."""
        return self._plan


METHODS: dict[str, Callable[..., Pruner]] = {"bafd": BafdPruner, "none": NoPruner}


def planned(model: ReIDNetwork, config: TrialConfig, *, round_to: int) -> PrunePlan:
    """A plan by the initial weights, with the channel counts that pruning will end with.

    Args:
        model: dense network with its initial weights; left as it is.
        config: its method and that method's settings.
        round_to: as for the method.

    Raises:
        ConfigError: as the method does.
    """
    twin = copy.deepcopy(model)
    return METHODS[config.method](model, config, round_to=round_to).finish(twin)
