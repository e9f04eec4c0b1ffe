"""An OpenVINO IR as a torch module: OpenVINO has no NVIDIA GPUs, and a teacher should run where the student trains.

Source: OpenVINO documentation, "Operation Specifications" (opset 1 to 13) and "OpenVINO IR format".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.errors import ConfigError

__all__ = ["IR_OPERATORS", "IrGraph"]

Given = Mapping[str, str]
Inputs = Sequence[Tensor]

_DTYPES = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32, "i8": np.int8,
    "u8": np.uint8, "boolean": np.bool_,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One operation: names of the values it reads and of the first one it gives."""

    kind: str
    given: Given
    inputs: tuple[str, ...]
    output: str


class IrGraph(nn.Module):
    """The embedding that an IR gives, computed by torch on whatever device the module is.

    Args:
        path: the .xml file; its weights lie beside it in the .bin file of the same name.
        output: name of the embedding where there are several outputs.

    Raises:
        ConfigError: a file is absent or damaged, or an operation has no counterpart here.
    """

    def __init__(self, path: Path, output: str | None = None) -> None:
        super().__init__()
        try:
            root, weights = ElementTree.parse(path).getroot(), path.with_suffix(".bin").read_bytes()
            layers = _layers(root)
            (self._images,) = (layer.output for layer in layers if layer.kind == "Parameter")
            self._embedding = _result(root, layers, output)
            stored = {layer.output: _constant(layer, weights) for layer in layers if layer.kind == "Const"}
        except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"teacher {path} cannot be read as OpenVINO IR: {reason}") from error
        self._steps = [layer for layer in layers if layer.kind not in ("Parameter", "Const", "Result")]
        strange = sorted({layer.kind for layer in self._steps} - {*IR_OPERATORS})
        if strange:
            raise ConfigError(
                f"teacher {path}: torch has no counterpart of {', '.join(strange)} of OpenVINO; set teacher_view to "
                "plain, and without a GPU install OpenVINO: pip install -c constraints.txt -e '.[openvino]'"
            )
        self._fold(stored)
        # Shapes and axes stay where they are when the weights move to a GPU: a step would wait for them there.
        self._whole = {name: value for name, value in stored.items() if not value.is_floating_point()}
        floats = [name for name in stored if name not in self._whole]
        self._names = {name: f"constant_{number}" for number, name in enumerate(floats)}
        for name in floats:
            self.register_buffer(self._names[name], stored[name])

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (N, ...) of normalised images (N, 3, height, width), as float32."""
        values = {name: getattr(self, at) for name, at in self._names.items()} | self._whole
        values[self._images] = images
        for layer in self._steps:
            values[layer.output] = IR_OPERATORS[layer.kind](
                [values[name] for name in layer.inputs], layer.given
            )
        embedding: Tensor = values[self._embedding]
        return embedding.float()

    def _fold(self, stored: dict[str, Tensor]) -> None:
        """Compute once what depends on constants alone, such as half precision weights turned into floats."""
        left = []
        for layer in self._steps:
            if layer.inputs and all(name in stored for name in layer.inputs):
                stored[layer.output] = IR_OPERATORS[layer.kind](
                    [stored[name] for name in layer.inputs], layer.given
                )
            else:
                left.append(layer)
        read = {name for layer in left for name in layer.inputs} | {self._embedding}
        for name in [name for name in stored if name not in read]:
            del stored[name]
        self._steps = left


def _layers(root: ElementTree.Element) -> list[_Layer]:
    """In the order of the file, which is one in which they can be computed."""
    sources = {
        (
            edge.attrib["to-layer"],
            edge.attrib["to-port"],
        ): f"{edge.attrib['from-layer']}:{edge.attrib['from-port']}"
        for edge in root.iter("edge")
    }
    found = []
    for layer in root.iter("layer"):
        number, data = layer.attrib["id"], layer.find("data")
        ports = [port.attrib["id"] for port in layer.iterfind("output/port")]
        inputs = [sources[number, port.attrib["id"]] for port in layer.iterfind("input/port")]
        found.append(
            _Layer(
                kind=layer.attrib["type"],
                given={} if data is None else data.attrib,
                inputs=tuple(inputs),
                output=f"{number}:{ports[0]}" if ports else number,
            )
        )
    return found


def _result(root: ElementTree.Element, layers: Sequence[_Layer], name: str | None) -> str:
    """The value that is the embedding."""
    results = [layer.inputs[0] for layer in layers if layer.kind == "Result"]
    if name is None and len(results) == 1:
        return results[0]
    for layer in root.iter("layer"):
        for port in layer.iterfind("output/port"):
            value = f"{layer.attrib['id']}:{port.attrib['id']}"
            if value in results and name in (*port.attrib.get("names", "").split(","), layer.attrib["name"]):
                return value
    raise ValueError(f"it has no output {name!r}")


def _constant(layer: _Layer, weights: bytes) -> Tensor:
    dtype = np.dtype(_DTYPES[layer.given["element_type"]])
    shape = _numbers(layer.given.get("shape", ""))
    start, size = int(layer.given["offset"]), int(layer.given["size"])
    if size != dtype.itemsize * int(np.prod(shape)) or not 0 <= start <= len(weights) - size:
        raise ValueError(f"{layer.kind} {layer.output} lies outside of its weights")
    return torch.from_numpy(np.frombuffer(weights[start : start + size], dtype).reshape(shape).copy())


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip()]


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
        _numbers(given["strides"]),
        0,
        _numbers(given["dilations"]),
        groups,
    )


def _padded(images: Tensor, given: Given, value: float = 0.0) -> Tensor:
    if given.get("auto_pad", "explicit") == "valid":
        return images
    if given.get("auto_pad", "explicit") != "explicit":
        raise ConfigError(f"auto_pad {given['auto_pad']} of OpenVINO has no counterpart in torch")
    (top, left), (bottom, right) = _numbers(given["pads_begin"]), _numbers(given["pads_end"])
    return F.pad(images, (left, right, top, bottom), value=value) if top + left + bottom + right else images


def _max_pool(inputs: Inputs, given: Given) -> Tensor:
    return F.max_pool2d(
        _padded(inputs[0], given, float("-inf")),
        _numbers(given["kernel"]),
        _numbers(given["strides"]),
        0,
        _numbers(given.get("dilations", "1,1")),
        _rounds_up(given),
    )


def _avg_pool(inputs: Inputs, given: Given) -> Tensor:
    begin, end = _numbers(given["pads_begin"]), _numbers(given["pads_end"])
    if begin != end:
        raise ConfigError("an average pool of OpenVINO with uneven padding has no counterpart in torch")
    return F.avg_pool2d(
        inputs[0],
        _numbers(given["kernel"]),
        _numbers(given["strides"]),
        begin,
        _rounds_up(given),
        given.get("exclude-pad", "false") == "false",
    )


def _rounds_up(given: Given) -> bool:
    rounding = given.get("rounding_type", "floor")
    if rounding == "ceil" and any(_numbers(given["pads_begin"])):
        raise ConfigError("a padded pool of OpenVINO that rounds up has no counterpart in torch")
    return rounding != "floor"


def _mvn(inputs: Inputs, given: Given) -> Tensor:
    values, axes = inputs[0], sorted(axis % inputs[0].ndim for axis in _axes(inputs[1]))
    first = values.ndim - len(axes)
    inside = given.get("eps_mode", "INSIDE_SQRT").upper() == "INSIDE_SQRT"
    if axes != list(range(first, values.ndim)) or given.get("normalize_variance") != "true" or not inside:
        raise ConfigError("this form of MVN of OpenVINO has no counterpart in torch")
    return F.layer_norm(values, values.shape[first:], eps=float(given["eps"]))


def _reshape(inputs: Inputs, given: Given) -> Tensor:
    values, sides = inputs[0], _axes(inputs[1])
    if given.get("special_zero") == "true":
        sides = [values.shape[at] if side == 0 else side for at, side in enumerate(sides)]
    return values.reshape(sides)


def _mat_mul(inputs: Inputs, given: Given) -> Tensor:
    left, right = inputs
    left = left.transpose(-1, -2) if given.get("transpose_a") == "true" else left
    right = right.transpose(-1, -2) if given.get("transpose_b") == "true" else right
    return left @ right


def _gather(inputs: Inputs, _: Given) -> Tensor:
    values, at, axis = inputs
    side = int(axis) % values.ndim
    rows = values.index_select(side, (at.reshape(-1) % values.shape[side]).to(values.device))
    return rows.reshape([*values.shape[:side], *at.shape, *values.shape[side + 1 :]])


def _p_relu(inputs: Inputs, _: Given) -> Tensor:
    values, slope = inputs
    if slope.ndim == 1 and len(slope) == values.shape[1]:
        slope = slope.view(-1, *[1] * (values.ndim - 2))
    return torch.where(values >= 0, values, values * slope)


def _convert(inputs: Inputs, given: Given) -> Tensor:
    return inputs[0].to(torch.from_numpy(np.empty(0, _DTYPES[given["destination_type"]])).dtype)


IR_OPERATORS: dict[str, Callable[[Inputs, Given], Tensor]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AvgPool": _avg_pool,
    "Clamp": lambda inputs, given: inputs[0].clamp(float(given["min"]), float(given["max"])),
    "Concat": lambda inputs, given: torch.cat(list(inputs), dim=int(given["axis"])),
    "Convert": _convert,
    "Convolution": _conv,
    "Divide": lambda inputs, _: inputs[0] / inputs[1],
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
        inputs[0], dim=_axes(inputs[1]), keepdim=given.get("keep_dims") == "true"
    ),
    "ReduceMax": lambda inputs, given: inputs[0].amax(
        dim=_axes(inputs[1]), keepdim=given.get("keep_dims") == "true"
    ),
    "ReduceMean": lambda inputs, given: inputs[0].mean(
        dim=_axes(inputs[1]), keepdim=given.get("keep_dims") == "true"
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
