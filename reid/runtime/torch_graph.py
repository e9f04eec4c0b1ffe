"""An exported graph as a torch module, for the runtimes that torch itself offers."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from reid.errors import ArtifactError, UnverifiedError
from reid.memory import lacks_memory
from reid.runtime.operators import OPERATORS, attributes_of, inputs_of

__all__ = ["Arithmetic", "Constants", "Grid", "Pattern", "TorchGraph", "dequantized", "graph_errors"]

Constants = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Step and zero point of a quantized activation, uint8."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """An operation between quantized activations: `DequantizeLinear` before it, `QuantizeLinear` after.

    Attributes:
        node: the operation.
        relu: whether a ReLU stands between it and the `QuantizeLinear`.
        inputs: names of its quantized inputs, without weights.
        grids: of these inputs.
        weights: the `DequantizeLinear` of each of its quantized constants.
        grid: of its output.
    """

    node: onnx.NodeProto
    relu: bool
    inputs: tuple[str, ...]
    grids: tuple[Grid, ...]
    weights: tuple[onnx.NodeProto, ...]
    grid: Grid


class Arithmetic(Protocol):
    """How a runtime rounds, and which operations it has between integers."""

    def quantize(self, values: Tensor, grid: Grid) -> Tensor:
        """Round float values to a grid."""
        ...

    def dequantize(self, values: Tensor, grid: Grid) -> Tensor:
        """The floats that quantized values stand for."""
        ...

    def fuse(self, pattern: Pattern, weights: Constants) -> nn.Module | None:
        """A module from quantized inputs to the quantized output, or None where there is none.

        Args:
            pattern: the operation.
            weights: all constants of the graph; quantized ones as they are stored.
        """
        ...


@contextmanager
def graph_errors(path: Path, runtime: str) -> Iterator[None]:
    """Turn what a graph breaks while it is read, wherever that is, into one error.

    Args:
        path: of the file.
        runtime: that opens it.

    Raises:
        UnverifiedError: the graph is damaged, or has no counterpart in torch.
    """
    try:
        yield
    except Exception as error:
        if lacks_memory(error) or isinstance(error, ImportError):
            raise
        said = " ".join(str(error).split())[-300:] or type(error).__name__
        raise UnverifiedError(f"{runtime} cannot open {path}: {said}") from error


class TorchGraph(nn.Module):
    """The embedding that an ONNX file of ours gives, computed by torch.

    Operations between quantized activations run in the integers that `arithmetic` offers; the others on the floats
    that those stand for, as the graph says.

    Args:
        model: fp32, fp16, or with quantize-dequantize pairs.
        arithmetic: of quantized activations; a float graph needs none.

    Raises:
        ArtifactError: the graph holds an operator that has no counterpart.
    """

    def __init__(self, model: onnx.ModelProto, arithmetic: Arithmetic | None = None) -> None:
        super().__init__()
        graph = model.graph
        self._images, self._embedding = graph.input[0].name, graph.output[0].name
        self._arithmetic = arithmetic
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._grids: dict[str, Grid] = {}
        self._nodes = _in_order(graph)
        self._attributes = [attributes_of(node) for node in self._nodes]
        self.fused = nn.ModuleDict()
        self._patterns: dict[str, Pattern] = {}
        self._absorbed: set[str] = set()
        self._find_patterns(stored)
        self._constants = self._register(self._constants_of(stored))
        self._done = self._last_read()
        for node in self._nodes:
            if node.op_type not in OPERATORS and node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
                raise ArtifactError(f"the operator {node.op_type} has no counterpart in torch")

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (N, D) of normalised images (N, 3, height, width)."""
        values: dict[str, Any] = {name: getattr(self, at) for name, at in self._constants.items()}
        values |= self._integers
        values[self._images] = images
        for node, attributes, done in zip(self._nodes, self._attributes, self._done, strict=True):
            name = node.output[0]
            if name in self._absorbed or name in values:
                continue
            if name in self._patterns:
                values[name] = self.fused[_key(name)](*(values[one] for one in self._patterns[name].inputs))
            elif node.op_type == "QuantizeLinear":
                values[name] = self._rounds().quantize(values[node.input[0]], self._grids[name])
            elif node.op_type == "DequantizeLinear":
                values[name] = self._rounds().dequantize(values[node.input[0]], self._grids[node.input[0]])
            else:
                values[name] = OPERATORS[node.op_type](inputs_of(node.input, values), attributes)
            for read in done:
                values.pop(read, None)
        embedding: Tensor = values[self._embedding]
        return embedding

    def _rounds(self) -> Arithmetic:
        if self._arithmetic is None:
            raise ArtifactError("this runtime computes in floats, and the graph holds integers")
        return self._arithmetic

    def _find_patterns(self, stored: Constants) -> None:
        made = {node.output[0]: node for node in self._nodes}
        readers = Counter(name for node in self._nodes for name in node.input)
        for node in self._nodes:
            if node.op_type != "QuantizeLinear":
                continue
            zero_point = int(stored[node.input[2]]) if len(node.input) > 2 else 0
            grid = Grid(scale=float(stored[node.input[1]]), zero_point=zero_point)
            self._grids[node.output[0]] = grid
            chain = _chain(node, made, readers)
            if self._arithmetic is None or chain is None:
                continue
            inner, between = chain
            sources = [made[name] for name in inner.input if name in made]
            weights = tuple(one for one in sources if one.input[0] in stored)
            reading = tuple(one.input[0] for one in sources if one.input[0] in self._grids)
            if not reading or len(reading) + len(weights) < len(sources):
                continue
            pattern = Pattern(
                node=inner, relu=bool(between), inputs=reading, weights=weights, grid=grid,
                grids=tuple(self._grids[name] for name in reading),
            )  # fmt: skip
            module = self._arithmetic.fuse(pattern, stored)
            if module is not None:
                self.fused[_key(node.output[0])] = module
                self._patterns[node.output[0]] = pattern
                self._absorbed |= {inner.output[0], *between}
        self._forget_idle()

    def _forget_idle(self) -> None:
        """What only absorbed operations read is not computed."""
        read = {self._embedding}
        for node in reversed(self._nodes):
            name = node.output[0]
            if name in self._absorbed:
                continue
            if name not in read:
                self._absorbed.add(name)
            elif name in self._patterns:
                read |= set(self._patterns[name].inputs)
            else:
                read |= set(node.input)

    def _last_read(self) -> list[set[str]]:
        """Values that nothing reads after each node: kept to the end, those of a batch would fill a GPU."""
        done: list[set[str]] = []
        later = {self._embedding}
        for node in reversed(self._nodes):
            name = node.output[0]
            read = set() if name in self._absorbed else {*node.input}
            if name in self._patterns:
                read = {*self._patterns[name].inputs}
            done.insert(0, read - later)
            later |= read
        return done

    def _constants_of(self, stored: Constants) -> Constants:
        """Initializers, and the floats of those that a `DequantizeLinear` reads, by its output's name."""
        found = dict(stored)
        for node in self._nodes:
            if node.op_type == "DequantizeLinear" and node.input[0] in stored:
                found[node.output[0]] = dequantized(node, stored)
        return found

    def _register(self, constants: Constants) -> dict[str, str]:
        """Attribute of each constant that is read; names in a graph hold dots, which torch does not take."""
        read = {
            name
            for node in self._nodes
            if node.output[0] not in self._absorbed and node.output[0] not in self._patterns
            for name in (*node.input, node.output[0])
        }
        # Shapes and axes stay plain numbers: a tracer would take a tensor for something that may vary.
        self._integers = {
            name: values for name, values in constants.items() if name in read and values.dtype == np.int64
        }
        names = [name for name in constants if name in read and name not in self._integers]
        for at, name in enumerate(names):
            self.register_buffer(f"constant{at}", _tensor(constants[name]))
        return {name: f"constant{at}" for at, name in enumerate(names)}


def dequantized(node: onnx.NodeProto, stored: Constants) -> NDArray[np.float32]:
    """The floats of a constant that a `DequantizeLinear` reads."""
    levels, scale = stored[node.input[0]].astype(np.float32), stored[node.input[1]]
    zero = stored[node.input[2]].astype(np.float32) if len(node.input) > 2 else np.zeros_like(scale)
    if scale.ndim:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape = [-1 if dim == axis else 1 for dim in range(levels.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    values: NDArray[np.float32] = (levels - zero) * scale
    return values


def _in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes such that each comes after those that it reads; converters to fp16 append theirs at the end."""
    waiting = list(graph.node)
    made = {*(value.name for value in (*graph.input, *graph.initializer)), ""}
    found: list[onnx.NodeProto] = []
    while waiting:
        ready = [node for node in waiting if made.issuperset(node.input)]
        if not ready:
            raise ArtifactError(f"nothing gives {sorted(set(waiting[0].input) - made)[0]}")
        found += ready
        made |= {name for node in ready for name in node.output}
        taken = {id(node) for node in ready}
        waiting = [node for node in waiting if id(node) not in taken]
    return found


def _tensor(array: NDArray[Any]) -> Tensor:
    if array.dtype.name == "bfloat16":  # numpy knows it by ml_dtypes, torch's bridge does not
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def _chain(
    node: onnx.NodeProto, made: Mapping[str, onnx.NodeProto], readers: Mapping[str, int]
) -> tuple[onnx.NodeProto, list[str]] | None:
    """The operation before a `QuantizeLinear` and the output of a ReLU between; None where others read it too."""
    between: list[str] = []
    name = node.input[0]
    while name in made and readers[name] == 1:
        if made[name].op_type != "Relu" or between:
            return made[name], between
        between.append(name)
        name = made[name].input[0]
    return None


def _key(name: str) -> str:
    """A name that torch's containers take."""
    return name.replace(".", "/")
