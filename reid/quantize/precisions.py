"""Which layers of a quantized graph run as integers."""

import onnx

__all__ = ["WEIGHTED", "layer_of", "layer_precisions"]

WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators that multiply with weights; the others cost little."""

_INTEGER = frozenset({"ConvInteger", "MatMulInteger"})


def layer_precisions(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Names of the weighted layers, as in the torch network, by the arithmetic of their weights.

    Args:
        model: with quantize-dequantize pairs or integer operators, before its names are shortened.

    Returns:
        "quantized" and "float", each in the order of the graph; a layer that is used twice stands once.
    """
    dequantized = {
        node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"
    }
    constants = {tensor.name for tensor in model.graph.initializer}
    layers: dict[str, dict[str, None]] = {"quantized": {}, "float": {}}
    for node in model.graph.node:
        if node.op_type in WEIGHTED | _INTEGER:
            source = dequantized.get(node.input[1], node.input[1])
            if source in constants:
                integer = node.op_type in _INTEGER or node.input[1] in dequantized
                layers["quantized" if integer else "float"][layer_of(source)] = None
    return {kind: list(names) for kind, names in layers.items()}


def layer_of(weight: str) -> str:
    """Name of a layer in the torch network, from that of its weights in a graph."""
    name = weight.removesuffix("_quantized").removesuffix(".weight")
    return name.removeprefix("network.")
