"""Batch normalisation that no convolution took up, as a convolution that integer kernels run."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = ["norms_to_convolutions"]

_EPSILON = 1e-5  # of the operator, where a node names none
_Readers = Mapping[str, list[onnx.NodeProto]]


def norms_to_convolutions(model: onnx.ModelProto) -> int:
    """Write batch normalisation before convolutions as a depthwise 1x1 convolution, in place; exact in real numbers.

    In networks that normalise before a convolution, such as DenseNet, nothing stands there that could take the
    factors up. Left in float it takes two conversions each time, and the layout of integer convolutions ends there.
    Measured in docs/decisions/0031-norms-before-convolutions.md.

    Args:
        model: an fp32 graph, in topological order; names of its nodes are kept.

    Returns:
        How many became convolutions.
    """
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    given = {value.name for value in graph.output}
    written: dict[str, NDArray[np.float32]] = {}
    found = [node for node in graph.node if _before_convolutions(node, readers, given)]
    for node in found:
        factor, offset = _factors(node, constants)
        weight = node.input[1]
        # Equal values are stored once, under the name of the first layer that has them.
        own = weight.removesuffix(".weight")
        alone = len(readers[weight]) == 1 and all(reader is node for reader in readers[f"{own}.bias"])
        layer = own if alone else node.name
        written |= {f"{layer}.weight": factor.reshape(-1, 1, 1, 1), f"{layer}.bias": offset}
        node.CopyFrom(_convolution(node, layer, len(factor)))
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read and tensor.name not in written]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in written.items())
    return len(found)


def _before_convolutions(node: onnx.NodeProto, readers: _Readers, given: set[str]) -> bool:
    """Whether a batch normalisation feeds convolutions and nothing else, with at most a ReLU between."""
    if node.op_type != "BatchNormalization" or node.output[0] in given:
        return False
    after = readers[node.output[0]]
    if len(after) == 1 and after[0].op_type == "Relu" and after[0].output[0] not in given:
        after = readers[after[0].output[0]]
    return bool(after) and all(one.op_type == "Conv" for one in after)


def _convolution(node: onnx.NodeProto, layer: str, channels: int) -> onnx.NodeProto:
    values = [node.input[0], f"{layer}.weight", f"{layer}.bias"]
    shape = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}
    return helper.make_node("Conv", values, [node.output[0]], node.name, group=channels, **shape)


def _factors(
    node: onnx.NodeProto, constants: Mapping[str, NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What each channel is multiplied by, and what is added then."""
    scale, shift, mean, variance = (constants[name].astype(np.float64) for name in node.input[1:5])
    epsilon = next((one.f for one in node.attribute if one.name == "epsilon"), _EPSILON)
    factor = scale / np.sqrt(variance + epsilon)
    return factor.astype(np.float32), (shift - mean * factor).astype(np.float32)
