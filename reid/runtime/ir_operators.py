"""Operations of an OpenVINO IR in torch: those of ReID networks. What no torch function matches is refused.

Source: OpenVINO documentation, "Operation Specifications" (opset 1 to 13).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reid.errors import ConfigError

__all__ = ["IR_DTYPES", "IR_OPERATORS", "numbers_in"]

Given = Mapping[str, str]
Inputs = Sequence[Tensor]

IR_DTYPES = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32, "i8": np.int8,
    "u8": np.uint8, "boolean": np.bool_,
}  # fmt: skip
"""Types by their name in an IR."""


def numbers_in(text: str) -> list[int]:
    """The whole numbers of an attribute, "1, 2"."""
    return [int(part) for part in text.split(",") if part.strip()]


def _flag(given: Given, name: str) -> bool:
    # Converters before 2021 wrote Python's True.
    return given.get(name, "false").lower() in ("true", "1")


def _axes(axes: Tensor) -> list[int]:
    return [int(axis) for axis in axes.reshape(-1).tolist()]


def _conv(inputs: Inputs, given: Given) -> Tensor:
    images, weight = inputs
    groups = 1
    if weight.ndim == 5:
        groups = weight.shape[0]
        weight = weight.flatten(0, 1)
    return F.conv2d(
        _padded(images, given),
        weight,
        None,
        numbers_in(given["strides"]),
        0,
        numbers_in(given["dilations"]),
        groups,
    )


def _pads(given: Given) -> tuple[list[int], list[int]]:
    """At the beginning and at the end of height and width."""
    kind = given.get("auto_pad", "explicit")
    if kind not in ("explicit", "valid"):
        raise ConfigError(f"auto_pad {kind} of OpenVINO has no counterpart in torch")
    begin, end = numbers_in(given["pads_begin"]), numbers_in(given["pads_end"])
    return (begin, end) if kind == "explicit" else ([0] * len(begin), [0] * len(end))


def _padded(images: Tensor, given: Given, value: float = 0.0) -> Tensor:
    (top, left), (bottom, right) = _pads(given)
    return F.pad(images, (left, right, top, bottom), value=value) if top + left + bottom + right else images


def _max_pool(inputs: Inputs, given: Given) -> Tensor:
    return F.max_pool2d(
        _padded(inputs[0], given, float("-inf")),
        numbers_in(given["kernel"]),
        numbers_in(given["strides"]),
        0,
        numbers_in(given.get("dilations", "1,1")),
        _rounds_up(given),
    )


def _avg_pool(inputs: Inputs, given: Given) -> Tensor:
    begin, end = _pads(given)
    if begin != end:
        raise ConfigError("an average pool of OpenVINO with uneven padding has no counterpart in torch")
    return F.avg_pool2d(
        inputs[0],
        numbers_in(given["kernel"]),
        numbers_in(given["strides"]),
        begin,
        _rounds_up(given),
        not _flag(given, "exclude-pad"),
    )


def _rounds_up(given: Given) -> bool:
    rounding = given.get("rounding_type", "floor")
    if rounding == "ceil" and any(_pads(given)[0]):
        raise ConfigError("a padded pool of OpenVINO that rounds up has no counterpart in torch")
    return rounding != "floor"


def _mvn(inputs: Inputs, given: Given) -> Tensor:
    values, axes = inputs[0], sorted(axis % inputs[0].ndim for axis in _axes(inputs[1]))
    first = values.ndim - len(axes)
    inside = given.get("eps_mode", "INSIDE_SQRT").upper() == "INSIDE_SQRT"
    if axes != list(range(first, values.ndim)) or not _flag(given, "normalize_variance") or not inside:
        raise ConfigError("this form of MVN of OpenVINO has no counterpart in torch")
    return F.layer_norm(values, values.shape[first:], eps=float(given["eps"]))


def _reshape(inputs: Inputs, given: Given) -> Tensor:
    values, sides = inputs[0], _axes(inputs[1])
    if _flag(given, "special_zero"):
        sides = [values.shape[at] if side == 0 else side for at, side in enumerate(sides)]
    return values.reshape(sides)


def _mat_mul(inputs: Inputs, given: Given) -> Tensor:
    left, right = inputs
    left = left.transpose(-1, -2) if _flag(given, "transpose_a") else left
    right = right.transpose(-1, -2) if _flag(given, "transpose_b") else right
    return left @ right


def _gather(inputs: Inputs, given: Given) -> Tensor:
    values, at, axis = inputs
    if int(given.get("batch_dims", 0)):
        raise ConfigError("Gather with batch_dims of OpenVINO has no counterpart in torch")
    side = int(axis) % values.ndim
    rows = values.index_select(side, (at.reshape(-1) % values.shape[side]).to(values.device))
    return rows.reshape([*values.shape[:side], *at.shape, *values.shape[side + 1 :]])


def _divide(left: Tensor, right: Tensor) -> Tensor:
    whole = not left.is_floating_point() and not right.is_floating_point()
    return torch.div(left, right, rounding_mode="floor" if whole else None)


def _p_relu(inputs: Inputs, _: Given) -> Tensor:
    values, slope = inputs
    if slope.ndim == 1 and len(slope) == values.shape[1]:
        slope = slope.view(-1, *[1] * (values.ndim - 2))
    return torch.where(values >= 0, values, values * slope)


def _convert(inputs: Inputs, given: Given) -> Tensor:
    return inputs[0].to(torch.from_numpy(np.empty(0, IR_DTYPES[given["destination_type"]])).dtype)


IR_OPERATORS: dict[str, Callable[[Inputs, Given], Tensor]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AvgPool": _avg_pool,
    "Clamp": lambda inputs, given: inputs[0].clamp(float(given["min"]), float(given["max"])),
    "Concat": lambda inputs, given: torch.cat(list(inputs), dim=int(given["axis"])),
    "Convert": _convert,
    "Convolution": _conv,
    "Divide": lambda inputs, _: _divide(*inputs),
    "Gather": _gather,
    "GroupConvolution": _conv,
    "MVN": _mvn,
    "MatMul": _mat_mul,
    "MaxPool": _max_pool,
    "Multiply": lambda inputs, _: inputs[0] * inputs[1],
    "PReLU": _p_relu,
    "Power": lambda inputs, _: inputs[0] ** inputs[1],
    "ReLU": lambda inputs, _: torch.relu(inputs[0]),
    "ReduceL2": lambda inputs, given: torch.linalg.vector_norm(
        inputs[0], dim=_axes(inputs[1]), keepdim=_flag(given, "keep_dims")
    ),
    "ReduceMax": lambda inputs, given: inputs[0].amax(
        dim=_axes(inputs[1]), keepdim=_flag(given, "keep_dims")
    ),
    "ReduceMean": lambda inputs, given: inputs[0].mean(
        dim=_axes(inputs[1]), keepdim=_flag(given, "keep_dims")
    ),
    "Reshape": _reshape,
    "ShapeOf": lambda inputs, _: torch.tensor(inputs[0].shape),
    "Sigmoid": lambda inputs, _: torch.sigmoid(inputs[0]),
    "Squeeze": lambda inputs, _: inputs[0].squeeze(_axes(inputs[1])),
    "Subtract": lambda inputs, _: inputs[0] - inputs[1],
    "Transpose": lambda inputs, _: inputs[0].permute(_axes(inputs[1])),
    "Unsqueeze": lambda inputs, _: inputs[0].unsqueeze(*_axes(inputs[1])),
}
"""Operations by their name in OpenVINO: inputs and attributes to the first output."""
