"""What each layer costs by the widths of the units that it writes and reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from reid.models.modes import evaluating
from reid.models.network import ReIDNetwork
from reid.prune.units import PruneUnit

__all__ = ["LayerCost", "LayerShape", "NetworkCosts", "macs_of", "shapes_of"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LayerShape:
    """A convolution but for its channels; a linear layer is a pointwise one over its rows.

    Attributes:
        size: height and width of its input.
        kernel, stride, padding, dilation: in pixels, (vertical, horizontal).
        groups: 1, or 0 of a depthwise convolution, whose groups are its channels.
    """

    size: tuple[int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of its output."""
        sides = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        high, wide = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sides)
        return high, wide


LayerCost = Callable[[LayerShape, int, int], float]
"""Shape, channels in, channels out -> cost."""


def macs_of(shape: LayerShape, channels_in: int, channels_out: int) -> float:
    """Multiply-accumulates of a layer for one image."""
    per_pixel = shape.kernel[0] * shape.kernel[1] * channels_out * (channels_in if shape.groups else 1)
    return float(per_pixel * shape.output[0] * shape.output[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    shape: LayerShape
    times: int
    width_in: int
    width_out: int
    reads: tuple[int, ...]
    writes: tuple[int, ...]


class NetworkCosts:
    """`reid.prune.budget.Costs` of a dense network, as the sum of its layers.

    Args:
        model: dense network; left as it is.
        units: from `find_units`.
        input_size: (height, width) in pixels.
        cost: of one layer.
    """

    def __init__(
        self,
        model: ReIDNetwork,
        units: Sequence[PruneUnit],
        input_size: tuple[int, int],
        cost: LayerCost,
    ) -> None:
        self._cost = cost
        self._full = [unit.width for unit in units]
        self._layers = list(_layers(model, units, input_size))
        self._around = [
            [layer for layer in self._layers if unit in layer.reads or unit in layer.writes]
            for unit in range(len(units))
        ]

    def total(self, widths: Sequence[int]) -> float:
        """Of all layers."""
        return sum(self._of(layer, widths) for layer in self._layers)

    def around(self, unit: int, widths: Sequence[int]) -> float:
        """Of the layers that write or read a unit."""
        return sum(self._of(layer, widths) for layer in self._around[unit])

    def _of(self, layer: _Layer, widths: Sequence[int]) -> float:
        channels_in = layer.width_in - sum(self._full[unit] - widths[unit] for unit in layer.reads)
        channels_out = layer.width_out - sum(self._full[unit] - widths[unit] for unit in layer.writes)
        return layer.times * self._cost(layer.shape, channels_in, channels_out)


def shapes_of(
    model: ReIDNetwork, units: Sequence[PruneUnit], input_size: tuple[int, int]
) -> dict[LayerShape, tuple[set[int], set[int]]]:
    """All shapes of a dense network, each with the full widths that its layers have, in and out."""
    found: dict[LayerShape, tuple[set[int], set[int]]] = {}
    for layer in _layers(model, units, input_size):
        widths = found.setdefault(layer.shape, (set(), set()))
        widths[0].add(layer.width_in)
        widths[1].add(layer.width_out)
    return found


def _layers(model: ReIDNetwork, units: Sequence[PruneUnit], input_size: tuple[int, int]) -> Iterator[_Layer]:
    for name, calls in _calls(model, input_size).items():
        layer = cast(nn.Conv2d | nn.Linear, model.get_submodule(name))
        reads = tuple(at for at, unit in enumerate(units) if name in unit.readers)
        writes = tuple(at for at, unit in enumerate(units) if name in unit.convs)
        shape, width_in, width_out = _shape(layer, calls[0])
        yield _Layer(
            shape=shape, times=len(calls), width_in=width_in, width_out=width_out, writes=writes,
            reads=writes if not shape.groups else reads,
        )  # fmt: skip
        for unit in (units[at] for at in writes if units[at].kind == "scatter"):
            # The narrow convolution's channels are put back by a pointwise one (`reid.prune.slim.Widen`).
            yield _Layer(
                shape=LayerShape(size=shape.output), times=len(calls), width_in=unit.width, width_out=unit.width,
                reads=writes, writes=(),
            )  # fmt: skip


def _shape(layer: nn.Conv2d | nn.Linear, given: torch.Size) -> tuple[LayerShape, int, int]:
    if isinstance(layer, nn.Linear):
        rows = given[1:-1].numel()
        return LayerShape(size=(rows, 1)), layer.in_features, layer.out_features
    shape = LayerShape(
        size=(given[2], given[3]),
        kernel=cast(tuple[int, int], layer.kernel_size),
        stride=cast(tuple[int, int], layer.stride),
        padding=cast(tuple[int, int], layer.padding),
        dilation=cast(tuple[int, int], layer.dilation),
        groups=1 if layer.groups == 1 else 0,
    )
    return shape, layer.in_channels, layer.out_channels


def _calls(model: ReIDNetwork, input_size: tuple[int, int]) -> dict[str, list[torch.Size]]:
    """Shape of each input that a convolution or linear layer sees for one image, by layer."""
    seen: dict[str, list[torch.Size]] = {}
    handles = [
        layer.register_forward_pre_hook(_note(seen.setdefault(name, [])))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    try:
        with evaluating(model), torch.no_grad():
            model(torch.zeros(1, 3, *input_size, device=next(model.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    return {name: calls for name, calls in seen.items() if calls}


def _note(calls: list[torch.Size]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls.append(inputs[0].shape)

    return note
