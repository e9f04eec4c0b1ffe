"""Cross-layer equalization: channels of successive convolutions are levelled, and the network computes the same."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

__all__ = ["equalize"]

_SWEEPS = 20
_SETTLED = 1e-3
_MOST = 64.0


def equalize(model: onnx.ModelProto) -> int:
    """Level the channels between convolutions that follow each other, in place; exact in real numbers.

    Where nothing but a ReLU stands between two convolutions, each channel between them may be divided by a factor
    in the first and multiplied by it in the second. The factor that gives both the same range of weights is taken,
    again and again, as a convolution may stand in two pairs.

    Args:
        model: an fp32 graph with batch normalisation folded into the convolutions.

    Returns:
        How many pairs were found.

    Source: Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019,
    section 4.1.
    """
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.initializer}
    pairs = list(_pairs(graph, weights))
    for _ in range(_SWEEPS if pairs else 0):
        if max(_level(weights, first, second) for first, second in pairs) < _SETTLED:
            break
    changed = {name for pair in pairs for node in pair for name in node.input[1:3]}
    for tensor in graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return len(pairs)


def _pairs(
    graph: onnx.GraphProto, weights: dict[str, NDArray[np.float32]]
) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Convolutions with at most a ReLU between them, whose values go nowhere else."""
    readers = Counter(name for node in graph.node for name in node.input)
    reader = {name: node for node in graph.node for name in node.input}
    given = {value.name for value in graph.output}
    for first in graph.node:
        if first.op_type != "Conv" or any(readers[name] > 1 for name in first.input[1:]):
            continue
        value = first.output[0]
        if readers[value] == 1 and reader[value].op_type == "Relu" and value not in given:
            value = reader[value].output[0]
        if readers[value] != 1 or value in given:
            continue
        second = reader[value]
        if second.op_type == "Conv" and second.input[0] == value and readers[second.input[1]] == 1:
            ahead, behind = weights[first.input[1]], weights[second.input[1]]
            depthwise = behind.shape[1] == 1 and len(behind) == len(ahead)
            if depthwise or _groups(second) == 1:
                yield first, second


def _groups(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def _level(weights: dict[str, NDArray[np.float32]], first: onnx.NodeProto, second: onnx.NodeProto) -> float:
    """Level one pair; returns the largest change as a logarithm."""
    ahead, behind = weights[first.input[1]], weights[second.input[1]]
    # A channel of a depthwise convolution is a row, of any other a column.
    depthwise = behind.shape[1] == 1 and behind.shape[0] == ahead.shape[0] and _groups(second) > 1
    rows = np.abs(ahead).reshape(len(ahead), -1).max(axis=1)
    columns = np.abs(behind).max(axis=(1, 2, 3) if depthwise else (0, 2, 3))
    alive = (rows > 0) & (columns > 0)
    factor = np.ones(len(rows), dtype=np.float32)
    factor[alive] = np.clip(np.sqrt(rows[alive] / columns[alive]), 1 / _MOST, _MOST)
    ahead /= factor[:, None, None, None]
    if len(first.input) > 2:
        weights[first.input[2]] /= factor
    behind *= factor[:, None, None, None] if depthwise else factor[None, :, None, None]
    return float(np.abs(np.log(factor)).max())
