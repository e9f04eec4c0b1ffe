"""An OpenVINO IR as a torch module: OpenVINO has no NVIDIA GPUs, and a teacher should run where the student trains.

Source: OpenVINO documentation, "Operation Specifications" (opset 1 to 13) and "OpenVINO IR format".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.runtime.foreign import Port
from reid.runtime.ir_operators import IR_DTYPES, IR_OPERATORS, numbers_in

__all__ = ["IrGraph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One operation: names of the values it reads and of the first one it gives."""

    kind: str
    given: Mapping[str, str]
    inputs: tuple[str, ...]
    output: str


class IrGraph(nn.Module):
    """The embedding that an IR gives, computed by torch on whatever device the module is.

    Attributes:
        ports: its inputs.

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
            self.ports = [_port(layer) for layer in layers if layer.kind == "Parameter"]
            self._images = next((layer.output for layer in layers if layer.kind == "Parameter"), "")
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
        self._done = _last_read([layer.inputs for layer in self._steps], keep={self._embedding, *stored})
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
        for layer, done in zip(self._steps, self._done, strict=True):
            inputs = [values[name] for name in layer.inputs]
            values[layer.output] = IR_OPERATORS[layer.kind](inputs, layer.given)
            for name in done:
                del values[name]
        embedding: Tensor = values[self._embedding]
        return embedding.float()

    def _fold(self, stored: dict[str, Tensor]) -> None:
        """Compute once what depends on constants alone, such as half precision weights turned into floats."""
        left = []
        for layer in self._steps:
            if layer.inputs and all(name in stored for name in layer.inputs):
                inputs = [stored[name] for name in layer.inputs]
                stored[layer.output] = IR_OPERATORS[layer.kind](inputs, layer.given)
            else:
                left.append(layer)
        read = {name for layer in left for name in layer.inputs} | {self._embedding}
        for name in [name for name in stored if name not in read]:
            del stored[name]
        self._steps = left


def _last_read(reads: Sequence[Sequence[str]], keep: set[str]) -> list[set[str]]:
    """Values that nothing reads after each step: kept to the end, those of a batch would fill a GPU."""
    done: list[set[str]] = []
    later = set(keep)
    for names in reversed(reads):
        done.insert(0, {*names} - later)
        later |= {*names}
    return done


def _port(layer: _Layer) -> Port:
    """An input; sizes that are free or given as a range are None."""
    sizes = (part.strip() for part in layer.given.get("shape", "").split(",") if part.strip())
    kind = layer.given.get("element_type", "")
    return Port(
        name=layer.output,
        dtype=np.dtype(IR_DTYPES[kind]).name if kind in IR_DTYPES else kind,
        sizes=tuple(int(size) if size.isdecimal() else None for size in sizes),
    )


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
    known = ", ".join(
        layer.attrib["name"] for layer in root.iter("layer") if layer.attrib["type"] == "Result"
    )
    if name is None:
        raise ValueError(
            f"it has several outputs or none ({known}); name one by the key output of teacher_spec"
        )
    raise ValueError(f"it has no output {name!r}")


def _constant(layer: _Layer, weights: bytes) -> Tensor:
    dtype = np.dtype(IR_DTYPES[layer.given["element_type"]])
    shape = numbers_in(layer.given.get("shape", ""))
    start, size = int(layer.given["offset"]), int(layer.given["size"])
    if size != dtype.itemsize * int(np.prod(shape)) or not 0 <= start <= len(weights) - size:
        raise ValueError(f"{layer.kind} {layer.output} lies outside of its weights")
    return torch.from_numpy(np.frombuffer(weights[start : start + size], dtype).reshape(shape).copy())
