"""Which nodes of a graph stay float, given the layers that do."""

from collections.abc import Collection
from dataclasses import dataclass

import onnx

from reid.quantize.precisions import WEIGHTED, layer_of

__all__ = ["Neighbours", "float_nodes", "float_tail", "neighbours"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The weighted nodes next to a node, looking through nodes without weights.

    Attributes:
        before: names of those whose values reach it; itself, for a weighted node.
        after: names of those that its values reach; itself, for a weighted node.
        inputs: how many of its inputs are computed, not constants.
    """

    before: frozenset[str]
    after: frozenset[str]
    inputs: int


def neighbours(graph: onnx.GraphProto) -> dict[str, Neighbours]:
    """Of every node of a graph in topological order, by the node's name."""
    constants = {tensor.name for tensor in graph.initializer}
    before: dict[str, frozenset[str]] = {}
    after: dict[str, frozenset[str]] = {}
    nodes_before: dict[str, frozenset[str]] = {}
    nodes_after: dict[str, frozenset[str]] = {}
    for node in graph.node:
        reaching = frozenset().union(*(before.get(name, frozenset()) for name in node.input))
        nodes_before[node.name] = reaching
        for name in node.output:
            before[name] = frozenset({node.name}) if node.op_type in WEIGHTED else reaching
    for node in reversed(graph.node):
        reached = frozenset().union(*(after.get(name, frozenset()) for name in node.output))
        nodes_after[node.name] = reached
        passed = frozenset({node.name}) if node.op_type in WEIGHTED else reached
        for name in node.input:
            after[name] = after.get(name, frozenset()) | passed
    return {
        node.name: Neighbours(
            before=nodes_before[node.name],
            after=nodes_after[node.name],
            inputs=sum(name not in constants for name in node.input),
        )
        for node in graph.node
    }


def float_nodes(graph: onnx.GraphProto, layers: Collection[str]) -> set[str]:
    """Names of the nodes that stay float when these weighted layers do.

    An activation goes with the layer before it, because both run as one kernel; a sum or concatenation stays
    float only where all layers on one side of it do.

    Args:
        graph: with named nodes, in topological order.
        layers: names of layers as in the torch network.
    """
    chosen = set(layers)
    if not chosen:
        return set()
    floats = {
        node.name for node in graph.node if node.op_type in WEIGHTED and layer_of(node.input[1]) in chosen
    }
    around = neighbours(graph)
    for node in graph.node:
        near = around[node.name]
        if node.op_type in WEIGHTED or not near.before:
            continue
        joins = near.inputs > 1 and bool(near.after)
        if near.before <= floats or (joins and near.after <= floats):
            floats.add(node.name)
    return floats


def float_tail(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes from which no weighted layer follows."""
    feeds_weights: set[str] = set()
    tail = []
    for node in reversed(graph.node):
        if node.op_type in WEIGHTED or feeds_weights.intersection(node.output):
            feeds_weights.update(node.input)
        else:
            tail.append(node.name)
    return tail
