"""What a graph with quantize-dequantize pairs holds: constants, layers, grids of activations, and what runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from reid.errors import ArtifactError
from reid.quantize.precisions import WEIGHTED, layer_of
from reid.runtime.operators import OPERATORS, attributes_of
from reid.runtime.torch_graph import Constants, dequantized

__all__ = ["Layer", "Parts", "Step", "Use", "take_apart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation.

    Attributes:
        operator: name in `OPERATORS`, or "Quantize" for rounding to the grid whose scale is called `grid`.
        inputs: names of values; "" for an input left out.
        output: name of the value that it gives.
        attributes: of the operator.
        grid: name of a scale, for "Quantize".
    """

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    grid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One place where a layer runs. Its bias is held there in steps of its own, as it reads another activation.

    Attributes:
        bias: int32 values, or "" without.
        bias_scale: one per channel, or "".
        grid: scale of the activation that is read.
    """

    bias: str
    bias_scale: str
    grid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """An integer layer: names of its initializers in the graph.

    Attributes:
        name: as in the torch network.
        weight: int8 values.
        weight_scale: one per channel.
        axis: of the channels.
        uses: at least one, in the order of the graph; all have a bias, the same in real numbers, or none has.
    """

    name: str
    weight: str
    weight_scale: str
    axis: int
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A graph taken apart.

    Attributes:
        steps: in the order in which they run.
        layers: the integer layers; one that is used twice stands once.
        grids: scale and zero point of each activation that is rounded, by the name of its scale.
        constants: initializers as floats or indices, by the name under which steps read them.
    """

    steps: tuple[Step, ...]
    layers: tuple[Layer, ...]
    grids: Mapping[str, tuple[float, int]]
    constants: Constants


def take_apart(quantized: onnx.ModelProto, floats: onnx.ModelProto) -> Parts:
    """Take a quantized graph apart.

    Args:
        quantized: with quantize-dequantize pairs, as `Calibrated.graph` gives it.
        floats: the graph that it was made from; gives the weights before they were rounded.

    Raises:
        ArtifactError: an operator of the graph cannot be trained.
    """
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    before = {tensor.name: numpy_helper.to_array(tensor) for tensor in floats.graph.initializer}
    constants: dict[str, NDArray[Any]] = dict(stored)
    grids: dict[str, tuple[float, int]] = {}
    grid_of: dict[str, str] = {}
    reads: dict[str, onnx.NodeProto] = {}
    steps: list[Step] = []
    for node in quantized.graph.node:
        source, target = node.input[0], node.output[0]
        if node.op_type == "QuantizeLinear":
            grids[node.input[1]] = float(stored[node.input[1]]), int(stored[node.input[2]])
            grid_of[target] = node.input[1]
            steps.append(Step(operator="Quantize", inputs=(source,), output=target, grid=node.input[1]))
        elif node.op_type == "DequantizeLinear" and source in stored:
            reads[target] = node
            constants[target] = before.get(source.removesuffix("_quantized"), dequantized(node, stored))
        elif node.op_type == "DequantizeLinear":
            grid_of[target] = grid_of[source]
            steps.append(Step(operator="Identity", inputs=(source,), output=target))
        else:
            steps.append(_step(node))
    running: dict[str, list[onnx.NodeProto]] = {}
    for node in quantized.graph.node:
        if node.op_type in WEIGHTED and node.input[1] in reads and node.input[0] in grid_of:
            running.setdefault(reads[node.input[1]].input[0], []).append(node)
    layers = tuple(_layer(nodes, reads, grid_of) for nodes in running.values())
    return Parts(steps=tuple(steps), layers=layers, grids=grids, constants=constants)


def _step(node: onnx.NodeProto) -> Step:
    if node.op_type not in OPERATORS or len(node.output) != 1:
        raise ArtifactError(
            f"the operator {node.op_type} has no counterpart in torch, which int8-qat and int8-mixed need; "
            "take int8-static"
        )
    return Step(
        operator=node.op_type,
        inputs=tuple(node.input),
        output=node.output[0],
        attributes=attributes_of(node),
    )


def _layer(
    nodes: Sequence[onnx.NodeProto], dequantized: Mapping[str, onnx.NodeProto], grid_of: Mapping[str, str]
) -> Layer:
    weight = dequantized[nodes[0].input[1]]
    axis = next((a.i for a in weight.attribute if a.name == "axis"), 1)
    return Layer(
        name=layer_of(weight.input[0]),
        weight=weight.input[0],
        weight_scale=weight.input[1],
        axis=axis,
        uses=tuple(_use(node, dequantized, grid_of) for node in nodes),
    )


def _use(node: onnx.NodeProto, dequantized: Mapping[str, onnx.NodeProto], grid_of: Mapping[str, str]) -> Use:
    bias = dequantized.get(node.input[2]) if len(node.input) > 2 else None
    return Use(
        bias=bias.input[0] if bias else "",
        bias_scale=bias.input[1] if bias else "",
        grid=grid_of[node.input[0]],
    )
