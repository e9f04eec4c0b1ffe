"""Filters that are held still while the rest of a network trains."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from reid.prune.plan import PrunePlan
from reid.prune.units import PruneUnit

__all__ = ["Hold"]

_BUFFER = "held_filters"


class Hold:
    """Keeps gradients away from chosen filters and their batch normalisation.

    The choice lies in buffers of the network, so that it is saved and restored with its weights. Momentum that an
    optimizer gathered before still moves a filter a little.

    Args:
        model: that trains; its parameters get hooks and its units' first convolutions a buffer, until `release`.
        units: of `model`.

    Source: FPGM's original training (He et al., CVPR 2019, code) zeroes the gradients of pruned filters.
    """

    def __init__(self, model: nn.Module, units: Sequence[PruneUnit]) -> None:
        self._units = tuple(units)
        self._carriers = {unit.name: model.get_submodule(unit.convs[0]) for unit in units}
        self._hooks: list[RemovableHandle] = []
        for unit in units:
            carrier = self._carriers[unit.name]
            device = next(carrier.parameters()).device
            carrier.register_buffer(_BUFFER, torch.zeros(unit.width, dtype=torch.bool, device=device))
            for name in (*unit.convs, *unit.norms):
                layer = model.get_submodule(name)
                for parameter in (one for one in layer.parameters(recurse=False) if one.requires_grad):
                    hook = parameter.register_hook(partial(_still, carrier))  # type: ignore[no-untyped-call]
                    self._hooks.append(hook)

    def take(self, plan: PrunePlan) -> None:
        """Hold what `plan` removes, and nothing else."""
        for unit in self._units:
            held = self._held(unit)
            held.zero_()
            held[list(plan.removed(unit))] = True

    def plan(self) -> PrunePlan:
        """The plan that removes what is held."""
        kept = {unit.name: tuple((~self._held(unit)).nonzero().flatten().tolist()) for unit in self._units}
        return PrunePlan(units=self._units, kept=kept)

    def release(self) -> None:
        """Let everything go, and leave the network as it was built."""
        for hook in self._hooks:
            hook.remove()
        for carrier in self._carriers.values():
            delattr(carrier, _BUFFER)

    def _held(self, unit: PruneUnit) -> Tensor:
        return cast(Tensor, getattr(self._carriers[unit.name], _BUFFER))


def _still(carrier: nn.Module, gradient: Tensor) -> Tensor:
    held = cast(Tensor, getattr(carrier, _BUFFER))
    return gradient.masked_fill(held.reshape(-1, *[1] * (gradient.dim() - 1)), 0)
