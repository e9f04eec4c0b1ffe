"""Smaller ONNX files: what no runtime reads is left out."""

import onnx

__all__ = ["compact"]


def compact(model: onnx.ModelProto) -> None:
    """Shorten `model` in place; what it computes and its inputs and outputs stay.

    A quantized graph names every value after the layer it comes from; in a slimmed OSNet these names weigh more
    than the weights. Graphs inside nodes (If, Loop) are not looked at; exported networks have none.
    """
    graph = model.graph
    outer = {value.name for value in (*graph.input, *graph.output)} | {""}
    short: dict[str, str] = {name: name for name in outer}
    for node in graph.node:
        node.ClearField("name")
        for names in (node.input, node.output):
            names[:] = [short.setdefault(name, f"v{len(short)}") for name in names]
    for tensor in graph.initializer:
        tensor.name = short.setdefault(tensor.name, f"v{len(short)}")
    del graph.value_info[:]
    used = {node.domain for node in graph.node}
    imports = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
