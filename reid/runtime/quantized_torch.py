"""Torch's quantized tensors and the operations that its integer engines have between them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.ao.nn.intrinsic.quantized import ConvReLU2d
from torch.ao.nn.quantized import Conv2d

from reid.runtime.operators import attributes_of
from reid.runtime.torch_graph import Constants, Grid, Pattern, dequantized

__all__ = ["QuantizedArithmetic"]


class QuantizedArithmetic:
    """Activations as quint8 tensors, weights as per-channel qint8; engine-neutral until weights are packed."""

    def quantize(self, values: Tensor, grid: Grid) -> Tensor:
        """Round float values to a grid."""
        return torch.quantize_per_tensor(values, grid.scale, grid.zero_point, torch.quint8)

    def dequantize(self, values: Tensor, grid: Grid) -> Tensor:
        """The floats that quantized values stand for; they know their grid themselves."""
        return values.dequantize()

    def fuse(self, pattern: Pattern, weights: Constants) -> nn.Module | None:
        """A module from quantized inputs to the quantized output; None where torch has none."""
        make = _FUSED.get(pattern.node.op_type)
        return make(pattern, weights) if make else None


class _Add(nn.Module):
    def __init__(self, pattern: Pattern) -> None:
        super().__init__()
        self._sum = torch.ops.quantized.add_relu if pattern.relu else torch.ops.quantized.add
        self._grid = pattern.grid

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        total: Tensor = self._sum(left, right, self._grid.scale, self._grid.zero_point)
        return total


class _Concat(nn.Module):
    def __init__(self, pattern: Pattern) -> None:
        super().__init__()
        self._join = torch.ops.quantized.cat_relu if pattern.relu else torch.ops.quantized.cat
        self._axis, self._grid = attributes_of(pattern.node)["axis"], pattern.grid

    def forward(self, *parts: Tensor) -> Tensor:
        joined: Tensor = self._join(list(parts), self._axis, self._grid.scale, self._grid.zero_point)
        return joined


class _MaxPool(nn.Module):
    def __init__(self, pattern: Pattern) -> None:
        super().__init__()
        given = attributes_of(pattern.node)
        self._kernel, self._strides = given["kernel_shape"], given.get("strides", [1, 1])
        self._pads = given.get("pads", [0, 0, 0, 0])[:2]
        self._ceil = bool(given.get("ceil_mode", 0))

    def forward(self, values: Tensor) -> Tensor:
        return nn.functional.max_pool2d(values, self._kernel, self._strides, self._pads, 1, self._ceil)


def _conv(pattern: Pattern, weights: Constants) -> nn.Module | None:
    stored = _weight(pattern, weights)
    given = attributes_of(pattern.node)
    pads = list(given.get("pads", [0, 0, 0, 0]))
    if stored is None or pads[:2] != pads[2:] or len(pattern.inputs) != 1:
        return None
    levels, scales, bias = stored
    groups = given.get("group", 1)
    kind = ConvReLU2d if pattern.relu else Conv2d
    layer = kind(  # type: ignore[no-untyped-call]
        levels.shape[1] * groups, levels.shape[0], levels.shape[2:], given.get("strides", [1, 1]), pads[:2],
        given.get("dilations", [1, 1]), groups,
    )  # fmt: skip
    zeros = torch.zeros(len(scales), dtype=torch.long)
    packed = torch._make_per_channel_quantized_tensor(levels, scales, zeros, 0)
    layer.set_weight_bias(packed, bias)
    layer.scale, layer.zero_point = pattern.grid.scale, pattern.grid.zero_point
    return layer


def _weight(pattern: Pattern, weights: Constants) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """int8 levels, float64 scales and float bias of a layer whose weight is stored as integers."""
    names = pattern.weights
    if not names:
        return None
    levels, scales = weights[names[0].input[0]], np.atleast_1d(weights[names[0].input[1]])
    if levels.dtype != np.int8 or len(scales) not in (1, len(levels)):
        return None
    scales = np.broadcast_to(scales, len(levels)).astype(np.float64)
    bias = None
    if len(pattern.node.input) > 2:
        name = pattern.node.input[2]
        stored = dequantized(names[1], weights) if len(names) > 1 else weights[name]
        bias = torch.from_numpy(np.array(stored, dtype=np.float32))
    return torch.from_numpy(levels.copy()), torch.from_numpy(scales.copy()), bias


def _add(pattern: Pattern, _: Constants) -> nn.Module | None:
    return _Add(pattern) if len(pattern.inputs) == 2 else None


def _concat(pattern: Pattern, _: Constants) -> nn.Module | None:
    return _Concat(pattern)


def _max_pool(pattern: Pattern, _: Constants) -> nn.Module | None:
    (read,) = pattern.grids
    same = (read.scale, read.zero_point) == (pattern.grid.scale, pattern.grid.zero_point)
    given = attributes_of(pattern.node)
    pads = list(given.get("pads", [0, 0, 0, 0]))
    plain = pads[:2] == pads[2:] and set(given.get("dilations", [1])) == {1}
    return _MaxPool(pattern) if same and plain and not pattern.relu else None


_FUSED: dict[str, Callable[[Pattern, Constants], nn.Module | None]] = {
    "Add": _add,
    "Concat": _concat,
    "Conv": _conv,
    "MaxPool": _max_pool,
}
"""Makers of modules by operator."""
