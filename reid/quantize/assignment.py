"""The fastest way to split a network between integers and floats, from the time of each layer in both."""

from collections.abc import Mapping
from dataclasses import dataclass

import networkx  # type: ignore[import-untyped]  # ships no types
import onnx

from reid.quantize.placement import neighbours
from reid.quantize.precisions import WEIGHTED, layer_of

__all__ = ["LayerCosts", "cheapest_floats", "layer_edges", "layer_times"]

_FLOAT, _INT8 = "float", "int8"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCosts:
    """What a weighted layer costs, with the operations after it that have no weights.

    Attributes:
        float_ms: in float.
        int8_ms: in int8.
        harm: one minus the mean cosine to the float embedding where this layer alone is int8.
    """

    float_ms: float
    int8_ms: float
    harm: float = 0.0


def cheapest_floats(
    costs: Mapping[str, LayerCosts],
    edges: Mapping[tuple[str, str], int],
    *,
    switch_ms: float = 0.0,
    caution: float = 1.0,
    harm_ms: float = 0.0,
) -> frozenset[str]:
    """Layers that stay float in the assignment with the least total time.

    Every layer costs its time in the arithmetic that it gets, and every edge between layers of different arithmetic
    a conversion. That sum is least across a minimum cut of the graph of layers.

    Args:
        costs: by layer.
        edges: pairs of layers that pass values, and how often.
        switch_ms: of one conversion, >= 0.
        caution: factor on the time in int8, for what profiles do not see.
        harm_ms: time that a harm of 1 is worth, >= 0.

    Source: Greig, Porteous, Seheult, Exact Maximum A Posteriori Estimation for Binary Images, JRSS B 1989.
    """
    graph = networkx.DiGraph()
    for layer, cost in costs.items():
        graph.add_edge(_FLOAT, f"layer {layer}", capacity=cost.int8_ms * caution + cost.harm * harm_ms)
        graph.add_edge(f"layer {layer}", _INT8, capacity=cost.float_ms)
    for (one, other), times in edges.items():
        for start, end in ((one, other), (other, one)):
            graph.add_edge(f"layer {start}", f"layer {end}", capacity=switch_ms * times)
    _, (floats, _) = networkx.minimum_cut(graph, _FLOAT, _INT8)
    return frozenset(layer for layer in costs if f"layer {layer}" in floats)


def layer_edges(graph: onnx.GraphProto) -> dict[tuple[str, str], int]:
    """Pairs of weighted layers between which values pass, looking through all else, and how often."""
    layer = {node.name: layer_of(node.input[1]) for node in graph.node if node.op_type in WEIGHTED}
    edges: dict[tuple[str, str], int] = {}
    for name, near in neighbours(graph).items():
        for before in near.before if name in layer else ():
            pair = (layer[before], layer[name])
            if pair[0] != pair[1]:
                edges[pair] = edges.get(pair, 0) + 1
    return edges


def layer_times(graph: onnx.GraphProto, times_ms: Mapping[str, float]) -> dict[str, float]:
    """Time of each weighted layer together with what stands behind it, from the times of operations.

    Args:
        graph: the fp32 graph, its nodes named, in topological order.
        times_ms: by name of a node or value (`reid.runtime.profile`); names that the graph lacks are left out.
    """
    order = {node.name: at for at, node in enumerate(graph.node)}
    layer = {node.name: layer_of(node.input[1]) for node in graph.node if node.op_type in WEIGHTED}
    around = neighbours(graph)
    totals = dict.fromkeys(layer.values(), 0.0)
    for node in graph.node:
        near = around[node.name]
        owner = node.name if node.name in layer else max(near.before, key=order.__getitem__, default="")
        if owner:
            names = {node.name, *node.output}
            totals[layer[owner]] += sum(times_ms.get(name, 0.0) for name in names)
    return totals
