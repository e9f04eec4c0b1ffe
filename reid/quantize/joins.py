"""One range for all that a chain of concatenations joins, so that joining copies instead of rescaling."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from reid.quantize.placement import float_tail

__all__ = ["share_ranges"]

_ENDS = (("lowest", min), ("highest", max))


def share_ranges(graph: onnx.GraphProto, ranges: bytes) -> bytes:
    """Give the inputs and the output of each concatenation between layers the range that covers them all.

    The values are rounded to the grid of the concatenation in any case; sooner costs little, and rescaling each
    input takes longer than copying it (docs/decisions/0031-norms-before-convolutions.md).

    Args:
        graph: fp32, in topological order, its nodes with names.
        ranges: what ONNX Runtime keeps of a calibration of it.

    Returns:
        The ranges, changed.
    """
    content = json.loads(ranges)
    data: dict[str, Any] = content["data"]
    for names in _joined(graph):
        known = [data[name] for name in names if name in data]
        for end, outermost in _ENDS:
            found = outermost((float(np.ravel(_values(one[end]))[0]) for one in known), default=0.0)
            for one in known:
                one[end] = _with(one[end], found)
    return json.dumps(content).encode()


def _values(stored: Any) -> Any:
    """An end of a range: an array by its fields, or a number, as the calibration method has it."""
    return stored["data"] if isinstance(stored, dict) else stored


def _with(stored: Any, value: float) -> Any:
    filled = np.full_like(_values(stored), value).tolist()
    return stored | {"data": filled} if isinstance(stored, dict) else filled


def _joined(graph: onnx.GraphProto) -> Iterator[set[str]]:
    """Values that concatenations before a layer join, directly or through further concatenations."""
    tail = set(float_tail(graph))
    # Where zero is the end of a grid, the grid itself is the ReLU; on another the convolution before it runs in float.
    cut = {name for node in graph.node if node.op_type in ("Relu", "Clip") for name in node.output}
    groups: list[set[str]] = []
    for node in graph.node:
        if node.op_type == "Concat" and node.name not in tail:
            group = {*node.input, *node.output} - cut
            apart = [other for other in groups if group.isdisjoint(other)]
            groups = [*apart, group.union(*(other for other in groups if other not in apart))]
    yield from groups
