"""Filters that are held still while the rest of a network trains."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from reid.prune.plan import PrunePlan
from reid.prune.units import PruneUnit

__all__ = ["Hold"]

_BUFFER = "held_filters"


class Hold:
    """Keeps chosen filters and their batch normalisation where they are, whatever the optimizer.

    The choice lies in buffers of the network, so that it is saved and restored with its weights.

    Args:
        model: that trains; its units' first convolutions get a buffer, until `release`.
        units: of `model`.

    Source: FPGM's original training (He et al., CVPR 2019, code) zeroes the gradients of pruned filters. That alone
    would leave them to weight decay and momentum, which Adam turns into steps of full length.
    """

    def __init__(self, model: nn.Module, units: Sequence[PruneUnit]) -> None:
        self._units = tuple(units)
        self._buffers: dict[str, tuple[nn.Module, str]] = {}
        self._parts: list[tuple[PruneUnit, nn.Module, str, int]] = []
        for number, unit in enumerate(units):
            carrier, buffer = model.get_submodule(unit.convs[0]), f"{_BUFFER}_{number}"
            self._buffers[unit.name] = carrier, buffer
            device = next(carrier.parameters()).device
            carrier.register_buffer(buffer, torch.zeros(unit.width, dtype=torch.bool, device=device))
            for name in (*unit.convs, *unit.norms):
                layer, first = model.get_submodule(name), unit.span(name).first
                self._parts += [
                    (unit, layer, own, first)
                    for own, parameter in layer.named_parameters(recurse=False)
                    if parameter.requires_grad
                ]

    @contextmanager
    def still(self) -> Iterator[None]:
        """Around a step of the optimizer: what is held has no gradient and ends where it was."""
        before = [(rows, held, rows.clone()) for rows, held in self._rows()]
        yield
        for rows, held, old in before:
            rows.copy_(torch.where(held, old, rows))

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
        for carrier, buffer in self._buffers.values():
            delattr(carrier, buffer)

    def _held(self, unit: PruneUnit) -> Tensor:
        return cast(Tensor, getattr(*self._buffers[unit.name]))

    def _rows(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The units' rows of each parameter, with which of them are held; their gradients are zeroed on the way."""
        for unit, layer, name, first in self._parts:
            parameter = cast(nn.Parameter, getattr(layer, name))
            held = self._held(unit).reshape(-1, *[1] * (parameter.dim() - 1))
            part = slice(first, first + unit.width)
            if parameter.grad is not None:
                parameter.grad[part].masked_fill_(held, 0)
            yield parameter.detach()[part], held
