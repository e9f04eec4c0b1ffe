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
        self._buffers: dict[str, tuple[nn.Module, str]] = {}
        self._hooks: list[RemovableHandle] = []
        for number, unit in enumerate(units):
            carrier, buffer = model.get_submodule(unit.convs[0]), f"{_BUFFER}_{number}"
            self._buffers[unit.name] = carrier, buffer
            device = next(carrier.parameters()).device
            carrier.register_buffer(buffer, torch.zeros(unit.width, dtype=torch.bool, device=device))
            for name in (*unit.convs, *unit.norms):
                layer, first = model.get_submodule(name), unit.span(name).first
                for parameter in (one for one in layer.parameters(recurse=False) if one.requires_grad):
                    hook = partial(_still, carrier, buffer, first)
                    self._hooks.append(parameter.register_hook(hook))  # type: ignore[no-untyped-call]

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
        for carrier, buffer in self._buffers.values():
            delattr(carrier, buffer)

    def _held(self, unit: PruneUnit) -> Tensor:
        return cast(Tensor, getattr(*self._buffers[unit.name]))


def _still(carrier: nn.Module, buffer: str, first: int, gradient: Tensor) -> Tensor:
    held = cast(Tensor, getattr(carrier, buffer))
    stilled = gradient.clone()
    stilled[first : first + len(held)].masked_fill_(held.reshape(-1, *[1] * (gradient.dim() - 1)), 0)
    return stilled
