"""Pruning methods by name, and how the pipeline drives one: once per epoch, then once at the end."""

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from reid.config import TrialConfig, reject_unknown
from reid.errors import ConfigError
from reid.models.network import ReIDNetwork
from reid.prune.allocate import ALLOCATIONS
from reid.prune.choose import select
from reid.prune.hold import Hold
from reid.prune.mask import decay
from reid.prune.plan import PrunePlan
from reid.prune.schedule import share_of_rate
from reid.prune.units import find_units

__all__ = [
    "METHODS",
    "Method",
    "Pruner",
    "method_of",
    "planned",
    "prune_parameters",
    "soft_epochs",
    "unit_rates",
]

_HOLDING = 2
"""Changes with what holding filters still, or at zero, comes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What makes a pruning method; settings of the trial may replace all but its criterion.

    Attributes:
        criterion: name in `reid.prune.criteria.CRITERIA`.
        allocate: name in `reid.prune.allocate.ALLOCATIONS`.
        soft: whether filters fade out while training goes on; else they go at once, before finetuning.
        schedule: name in `reid.prune.schedule.SCHEDULES`.
        decay_rate: factor that remains after one soft-pruning step.
        mask_norm: whether the step takes the batch normalisation too; a filter that is zeroed together with it gets
            no gradient any more and stays dead.
        nni: pruner of NNI that decides in place of the criterion, or None.
    """

    criterion: str
    allocate: str = "uniform"
    soft: bool = False
    schedule: Literal["constant", "asymptotic", "cubic"] = "constant"
    decay_rate: float = 0.0
    mask_norm: bool = False
    nni: str | None = None


METHODS: dict[str, Method | None] = {
    "bafd": Method(criterion="bafd", allocate="bafd", soft=True, decay_rate=0.3, mask_norm=True),
    "plfp": Method(criterion="bafd", soft=True, decay_rate=0.3, mask_norm=True),
    "sfp": Method(criterion="l2", soft=True),
    "asfp": Method(criterion="l2", soft=True, schedule="asymptotic"),
    "fpgm": Method(criterion="fpgm", soft=True),
    "hfp": Method(criterion="l1"),
    "l2": Method(criterion="l2"),
    "random": Method(criterion="random"),
    "nni-l1": Method(criterion="l1", nni="l1"),
    "nni-l2": Method(criterion="l2", nni="l2"),
    "nni-fpgm": Method(criterion="fpgm", nni="fpgm"),
    "nni-taylor": Method(criterion="l1", nni="taylor"),
    "nni-slim": Method(criterion="l1", nni="slim"),
    "nni-agp": Method(criterion="l1", nni="agp"),
    "none": None,
}
"""Methods by name.

Sources: bafd: block-wise adjacent filter decaying, IEEE Transactions on Cybernetics. plfp: the same criterion with
one rate for all layers (progressive local filter pruning, IEEE Transactions on Multimedia 2023). sfp: He et al., Soft
Filter Pruning, IJCAI 2018. asfp: He et al., Asymptotic Soft Filter Pruning, 2019. fpgm: He et al., CVPR 2019. hfp: Li
et al., ICLR 2017.
"""


def method_of(config: TrialConfig) -> Method:
    """The trial's method, with whatever the trial sets in place of the method's own ways.

    Raises:
        ConfigError: the method is unknown or "none"; lists the known.
    """
    reject_unknown([config.method], METHODS, "method")
    method = METHODS[config.method]
    if method is None:
        raise ConfigError(f"method {config.method} prunes nothing; name another")
    return Method(
        criterion=method.criterion,
        allocate=method.allocate if config.allocate == "auto" else config.allocate,
        soft=method.soft,
        schedule=method.schedule if config.prune_schedule == "auto" else config.prune_schedule,
        decay_rate=method.decay_rate if config.decay_rate is None else config.decay_rate,
        mask_norm=method.mask_norm if config.mask_norm is None else config.mask_norm,
        nni=method.nni,
    )


def soft_epochs(config: TrialConfig) -> int:
    """Epochs of training that soft pruning goes along with; 0 of a method that prunes at once.

    Raises:
        ConfigError: unknown method, or a soft one without epochs.
    """
    if config.method == "none" or not method_of(config).soft:
        return 0
    if config.prune_epochs < 1:
        raise ConfigError(f"method {config.method} prunes softly and needs prune_epochs of at least 1, got 0")
    return config.prune_epochs


def prune_parameters(config: TrialConfig) -> dict[str, Any]:
    """The settings that matter to what the trial's method leaves, as JSON values."""
    if config.method == "none":
        return {"method": config.method}
    method = method_of(config)
    soft = {
        "epochs": soft_epochs(config), "schedule": method.schedule, "decay_rate": method.decay_rate,
        "mask_norm": method.mask_norm,
    }  # fmt: skip
    held = ("gradient_mask", "zero_epochs")
    # Named only where it matters, so that what was computed before is still found.
    if config.gradient_mask or config.zero_epochs:
        soft["holding"] = _HOLDING
    own = {"bafd": ("knn", "efficient"), "random": ("seed",)}.get(method.criterion, ())
    named = (
        *(held if method.soft else ()),
        *(() if method.nni else own),
        *(("nni_steps",) if method.nni else ()),
    )
    return {
        "criterion": (method.nni and f"nni-{method.nni}") or method.criterion,
        "scope": config.scope,
        "rounds": config.prune_rounds,
        **(soft if method.soft else {}),
        **{name: getattr(config, name) for name in named},
    }


def unit_rates(model: ReIDNetwork, config: TrialConfig) -> dict[str, float]:
    """Share of its channels that each unit of a dense network loses.

    Raises:
        ConfigError: unknown method, or a layer of `model` that cannot be narrowed.
    """
    if config.method == "none":
        return {}
    allocate = method_of(config).allocate
    if allocate not in ALLOCATIONS:
        raise ConfigError(f"allocate {allocate} needs the target's times: take rates from reid.steps.budget")
    return ALLOCATIONS[allocate](model, find_units(model, config.scope), config)


class Pruner:
    """A method bound to one network that is being trained.

    What a step does follows from the rates, the weights it is given and what it left in the network's state
    before, so that a resumed training that makes its pruner anew goes on as if never interrupted.

    Args:
        model: the network that will be trained and pruned; gets buffers until `finish` where filters are held still.
        config: its method and that method's settings; one that prunes.
        rates: by unit name, from `unit_rates`.
        round_to: kept counts are rounded up to a multiple of this, >= 1.

    Raises:
        ConfigError: a layer of `model` cannot be narrowed, or `round_to` is out of range.
    """

    def __init__(
        self, model: ReIDNetwork, config: TrialConfig, rates: Mapping[str, float], *, round_to: int
    ) -> None:
        self._config, self._method = config, method_of(config)
        self._rates, self._round_to = rates, round_to
        self._epochs = soft_epochs(config)
        self.units = find_units(model, config.scope)
        holds = self._epochs and (config.gradient_mask or config.zero_epochs)
        self._hold = Hold(model, self.units) if holds else None

    def plan(self, model: nn.Module, share: float = 1.0) -> PrunePlan:
        """What stays by the weights as they are now, at a share of the final rate; weights do not change counts."""
        config = self._config
        return select(
            model,
            self.units,
            {name: rate * share for name, rate in self._rates.items()},
            criterion=self._method.criterion,
            round_to=self._round_to,
            knn=config.knn,
            efficient=config.efficient,
            seed=config.seed,
        )

    def step(self, model: nn.Module, epoch: int) -> None:
        """Prune `model` softly, in place, after training epoch `epoch` (from 0)."""
        settled = self._epochs - 1 - self._config.zero_epochs
        if self._hold is not None and epoch > settled:
            plan = self._hold.plan()
        else:
            plan = self.plan(model, share_of_rate(self._method.schedule, epoch, settled + 1))
        # What goes is gone from here on; a normalisation left alone would make a constant of it, to be learnt from.
        gone = self._config.zero_epochs > 0 and epoch >= settled
        factor = 0.0 if gone else self._method.decay_rate
        decay(model, self.units, plan, factor, norms=gone or self._method.mask_norm)
        if self._hold is not None and (self._config.gradient_mask or epoch >= settled):
            self._hold.take(plan)

    def still(self) -> AbstractContextManager[None]:
        """To be entered around each step of an optimizer: filters that are held stay where they are."""
        return nullcontext() if self._hold is None else self._hold.still()

    def finish(self, model: nn.Module, plan: PrunePlan | None = None) -> PrunePlan:
        """Set what goes to exactly zero, in place, and say what stays.

        Args:
            model: after the last step.
            plan: chosen by somebody else; None chooses by the criterion, or keeps a choice that was final.
        """
        if plan is None:
            held = self._hold is not None and self._config.zero_epochs > 0
            plan = self._hold.plan() if held and self._hold else self.plan(model)
        if self._hold is not None:
            self._hold.release()
        decay(model, self.units, plan, 0.0)
        return plan


def planned(
    model: ReIDNetwork, config: TrialConfig, *, round_to: int, rates: Mapping[str, float] | None = None
) -> PrunePlan:
    """A plan by the weights as they are, with the channel counts that pruning will end with.

    Args:
        model: dense network; left as it is.
        config: its method and that method's settings.
        round_to: as for `Pruner`.
        rates: from `unit_rates`; None asks it.

    Raises:
        ConfigError: a layer of `model` cannot be narrowed, or `round_to` is out of range.
    """
    if config.method == "none":
        return PrunePlan(units=(), kept={})
    found = unit_rates(model, config) if rates is None else rates
    return Pruner(copy.deepcopy(model), config, found, round_to=round_to).plan(model)
