"""Smaller ONNX files: what no runtime reads is left out."""

import onnx

__all__ = ["compact"]


def compact(model: onnx.ModelProto) -> None:
    """Shorten `model` in place; what it computes and its inputs and outputs stay.

    A quantized graph names every value after the layer it comes from; in a slimmed OSNet these names weigh more
    than the weights. Equal constants, such as the zero points of equally many channels, are stored once. Graphs
    inside nodes (If, Loop) are not looked at; exported networks have none.
    """
    graph = model.graph
    outer = {value.name for value in (*graph.input, *graph.output)} | {""}
    short: dict[str, str] = {name: name for name in outer} | _alike(graph, outer)
    for node in graph.node:
        node.ClearField("name")
        for names in (node.input, node.output):
            names[:] = [short.setdefault(name, f"v{len(short)}") for name in names]
    stored = {short.setdefault(tensor.name, f"v{len(short)}"): tensor for tensor in graph.initializer}
    for name, tensor in stored.items():
        tensor.name = name
    kept = list(stored.values())
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    used = {node.domain for node in graph.node}
    imports = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)


def _alike(graph: onnx.GraphProto, outer: set[str]) -> dict[str, str]:
    """New names of constants that have an equal: one name for all of them."""
    alike: dict[bytes, list[str]] = {}
    for tensor in graph.initializer:
        nameless = onnx.TensorProto()
        nameless.CopyFrom(tensor)
        nameless.ClearField("name")
        alike.setdefault(nameless.SerializeToString(deterministic=True), []).append(tensor.name)
    groups = [names for names in alike.values() if len(names) > 1 and outer.isdisjoint(names)]
    return {name: f"c{number}" for number, names in enumerate(groups) for name in names}
