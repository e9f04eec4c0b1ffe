"""ONNX operators in torch: those of our exported networks, as differentiable functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor

from reid.errors import ArtifactError

__all__ = ["OPERATORS", "Attributes", "attributes_of", "inputs_of"]

Attributes = Mapping[str, Any]
Inputs = Sequence[Tensor]


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Plain values of a node's attributes; tensors become torch tensors."""
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {
        name: torch.from_numpy(numpy_helper.to_array(value).copy())
        if isinstance(value, onnx.TensorProto)
        else value
        for name, value in values.items()
    }


def inputs_of(names: Sequence[str], values: Mapping[str, Tensor]) -> list[Any]:
    """Values of an operator's inputs by their place; those left out are None, at the end they are not there."""
    given = [values[name] if name else None for name in names]
    while given and given[-1] is None:
        given.pop()
    return given


def _pads(given: Attributes) -> list[int]:
    """At the beginning of height and width, then at their end."""
    kind = given.get("auto_pad", b"NOTSET")
    if kind not in (b"NOTSET", b"VALID"):
        raise ArtifactError(f"auto_pad {kind.decode()} has no counterpart in torch")
    return list(given.get("pads", [0, 0, 0, 0])) if kind == b"NOTSET" else [0, 0, 0, 0]


def _conv(inputs: Inputs, given: Attributes) -> Tensor:
    images, weight, *bias = inputs
    pads = _pads(given)
    half = len(pads) // 2
    strides, dilations = given.get("strides", [1, 1]), given.get("dilations", [1, 1])
    if pads[:half] != pads[half:]:
        images = F.pad(images, _torch_pads(pads))
        pads = [0] * len(pads)
    return F.conv2d(
        images, weight, bias[0] if bias else None, strides, pads[:half], dilations, given.get("group", 1)
    )


def _torch_pads(pads: Sequence[int]) -> list[int]:
    top, left, bottom, right = pads
    return [left, right, top, bottom]


def _gemm(inputs: Inputs, given: Attributes) -> Tensor:
    left, right, *bias = inputs
    left = left.T if given.get("transA", 0) else left
    right = right if given.get("transB", 0) else right.T
    alpha, beta = given.get("alpha", 1.0), given.get("beta", 1.0)
    if alpha == beta == 1.0:
        return F.linear(left, right, bias[0] if bias else None)
    product: Tensor = alpha * (left @ right.T)
    return product + beta * bias[0] if bias else product


def _batch_norm(inputs: Inputs, given: Attributes) -> Tensor:
    values, weight, bias, mean, variance = inputs
    return F.batch_norm(values, mean, variance, weight, bias, training=False, eps=given.get("epsilon", 1e-5))


def _max_pool(inputs: Inputs, given: Attributes) -> Tensor:
    pads = _pads(given)
    values = F.pad(inputs[0], _torch_pads(pads), value=float("-inf")) if any(pads) else inputs[0]
    return F.max_pool2d(
        values,
        given["kernel_shape"],
        given.get("strides", [1, 1]),
        0,
        given.get("dilations", [1, 1]),
        bool(given.get("ceil_mode", 0)),
    )


def _average_pool(inputs: Inputs, given: Attributes) -> Tensor:
    pads = _pads(given)
    half = len(pads) // 2
    if pads[:half] != pads[half:]:
        raise ArtifactError("an average pool with uneven padding has no counterpart in torch")
    return F.avg_pool2d(
        inputs[0],
        given["kernel_shape"],
        given.get("strides", [1, 1]),
        pads[:half],
        bool(given.get("ceil_mode", 0)),
        bool(given.get("count_include_pad", 0)),
    )


def _axes(inputs: Inputs, given: Attributes) -> list[int]:
    return [int(axis) for axis in (inputs[1].tolist() if len(inputs) > 1 else given["axes"])]


def _reduce_mean(inputs: Inputs, given: Attributes) -> Tensor:
    return inputs[0].mean(dim=_axes(inputs, given), keepdim=bool(given.get("keepdims", 1)))


def _reduce_l2(inputs: Inputs, given: Attributes) -> Tensor:
    # Not differentiable at zero; an embedding of zeros has no direction to learn anyway.
    axes, keep = _axes(inputs, given), bool(given.get("keepdims", 1))
    length: Tensor = torch.linalg.vector_norm(inputs[0], dim=axes, keepdim=keep)
    return length


def _reshape(inputs: Inputs, _: Attributes) -> Tensor:
    values, shape = inputs
    sides = [int(side) for side in shape.tolist()]
    return values.reshape([values.shape[at] if side == 0 else side for at, side in enumerate(sides)])


def _clip(inputs: Inputs, given: Attributes) -> Tensor:
    bounds: list[Tensor | None] = [*inputs[1:], None, None][:2]
    least, most = (
        given.get(name) if bound is None or not bound.numel() else bound
        for name, bound in zip(("min", "max"), bounds, strict=True)
    )
    return inputs[0] if least is None and most is None else inputs[0].clamp(least, most)


def _slice(inputs: Inputs, _: Attributes) -> Tensor:
    values, starts, ends, *rest = inputs
    axes = rest[0].tolist() if rest and rest[0] is not None else range(len(starts))
    steps = rest[1].tolist() if len(rest) > 1 else [1] * len(starts)
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes, steps, strict=True):
        index = torch.arange(values.shape[axis], device=values.device)[slice(start, end, step)]
        values = values.index_select(axis, index)
    return values


def _instance_norm(inputs: Inputs, given: Attributes) -> Tensor:
    values, weight, bias = inputs
    return F.instance_norm(values, weight=weight, bias=bias, eps=given.get("epsilon", 1e-5))


def _layer_norm(inputs: Inputs, given: Attributes) -> Tensor:
    values, weight, *bias = inputs
    shape = values.shape[given.get("axis", -1) :]
    return F.layer_norm(values, shape, weight, bias[0] if bias else None, given.get("epsilon", 1e-5))


_TYPES = {
    onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.BFLOAT16: torch.bfloat16,
}  # fmt: skip

OPERATORS: dict[str, Callable[[Inputs, Attributes], Tensor]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": lambda inputs, given: inputs[0].to(_TYPES[given["to"]]),
    "Clip": _clip,
    "Concat": lambda inputs, given: torch.cat(list(inputs), dim=given["axis"]),
    "Conv": _conv,
    "Div": lambda inputs, _: inputs[0] / inputs[1],
    "Erf": lambda inputs, _: torch.erf(inputs[0]),
    "Flatten": lambda inputs, given: inputs[0].flatten(given.get("axis", 1)),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean(dim=(2, 3), keepdim=True),
    "HardSigmoid": lambda inputs, given: (
        inputs[0].mul(given.get("alpha", 0.2)).add(given.get("beta", 0.5)).clamp(0, 1)
    ),
    "HardSwish": lambda inputs, _: F.hardswish(inputs[0]),
    "Identity": lambda inputs, _: inputs[0],
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "MaxPool": _max_pool,
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Pow": lambda inputs, _: inputs[0] ** inputs[1],
    "ReduceL2": _reduce_l2,
    "ReduceMax": lambda inputs, given: torch.amax(
        inputs[0], dim=_axes(inputs, given), keepdim=bool(given.get("keepdims", 1))
    ),
    "ReduceMean": _reduce_mean,
    "Relu": lambda inputs, _: torch.relu(inputs[0]),
    "Reshape": _reshape,
    "Sigmoid": lambda inputs, _: torch.sigmoid(inputs[0]),
    "Slice": _slice,
    "Squeeze": lambda inputs, _: inputs[0].squeeze([int(axis) for axis in inputs[1].tolist()]),
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Transpose": lambda inputs, given: inputs[0].permute(*given["perm"]),
    "Unsqueeze": lambda inputs, _: inputs[0].unsqueeze(int(inputs[1].item())),
}
"""Operators by their name in ONNX: inputs and attributes to the one output."""
