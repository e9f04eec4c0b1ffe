"""The graph of a network without its weights: what torch's exporter takes most of its time for."""

import io
import pickle
import warnings
from collections import Counter
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

__all__ = ["forget", "structure_of", "with_weights"]

# The exporter's native opset: an older one means a conversion, a newer one shuts out older runtimes.
_OPSET = 18
# A number of images that no other size of a network is likely to be a multiple of.
_PRIME = 97
_MOST_KEPT = 4
# Packages whose code does not change while a program runs; a network with a class of another is traced each time.
_FIXED = ("reid", "torch", "torchvision")
_KEPT: dict[bytes, onnx.ModelProto] = {}


def structure_of(network: nn.Module, height: int, width: int) -> onnx.ModelProto:
    """The graph of `network`, its number of images free, for `with_weights` to put weights in.

    A trial exports its network twice, before and after training, so the last structures are kept; two networks share
    one if they are equal but for the values of their weights.

    Args:
        network: in evaluation mode, on the CPU.
        height: of the images.
        width: of the images.

    Raises:
        torch.onnx.errors.OnnxExporterError: the network does something that ONNX cannot express.
    """
    key = _identity(network, height, width)
    structure = _KEPT.pop(key) if key in _KEPT else _traced(network, height, width)
    if key:
        _KEPT[key] = structure
    while len(_KEPT) > _MOST_KEPT:
        del _KEPT[next(iter(_KEPT))]
    return structure


def forget() -> None:
    """Keep none of the structures so far."""
    _KEPT.clear()


def with_weights(structure: onnx.ModelProto, network: nn.Module) -> onnx.ModelProto:
    """A copy of `structure` with the weights that `network` has now."""
    graph, weights = onnx.ModelProto(), network.state_dict()
    graph.CopyFrom(structure)
    for one in graph.graph.initializer:
        if one.name in weights:
            one.CopyFrom(numpy_helper.from_array(weights[one.name].numpy(), one.name))
    return graph


def _traced(network: nn.Module, height: int, width: int) -> onnx.ModelProto:
    """Traced with a fixed number of images, which is freed afterwards: half the time of tracing with a free one."""
    graph = _export(network, torch.zeros(_PRIME, 3, height, width), None)
    if not _free_batch(graph, network):
        # The exporter specialises a dimension of 1, so the example batch is larger.
        free = {"images": {0: torch.export.Dim("batch")}}
        graph = _export(network, torch.zeros(2, 3, height, width), free)
    for one in graph.graph.initializer:
        if one.name in network.state_dict():
            one.ClearField("raw_data")
    return graph


def _export(network: nn.Module, images: Tensor, dynamic_shapes: dict[str, Any] | None) -> onnx.ModelProto:
    with warnings.catch_warnings():
        # torch's own use of a class that torch deprecated.
        warnings.filterwarnings(
            "ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning
        )
        program = torch.onnx.export(
            network,
            (images,),
            input_names=["images"],
            output_names=["embedding"],
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
            optimize=False,
            dynamic_shapes=dynamic_shapes,
        )
    return cast(Any, program).model_proto


def _free_batch(graph: onnx.ModelProto, network: nn.Module) -> bool:
    """Free the number of images of a graph that was traced with `_PRIME` of them; False where sizes depend on it."""
    _flatten_what_remains(graph.graph)
    attributes = [attribute for node in graph.graph.node for attribute in node.attribute]
    if any(attribute.HasField("g") or attribute.graphs for attribute in attributes):
        return False
    weights = network.state_dict()
    for array in (
        *(numpy_helper.to_array(one) for one in graph.graph.initializer if one.name not in weights),
        *(_array(attribute) for attribute in attributes),
    ):
        whole = np.issubdtype(array.dtype, np.integer)
        if any(side % _PRIME == 0 for side in array.shape if side) or (
            whole and (array[array != 0] % _PRIME == 0).any()
        ):
            return False
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.graph.value_info[:]
    return True


def _flatten_what_remains(graph: onnx.GraphProto) -> None:
    """Where a map is given a shape that begins with the number of images, say "what remains" instead."""
    uses = Counter(name for node in graph.node for name in node.input)
    made_by = {node.output[0]: node for node in graph.node if uses[node.output[0]] == 1}
    for node in graph.node:
        shape = made_by.get(node.input[1]) if node.op_type == "Reshape" else None
        first = made_by.get(shape.input[0]) if shape is not None and shape.op_type == "Concat" else None
        if shape is None or first is None or _ints(first) != [_PRIME]:
            continue
        others = [_ints(made_by[name]) if name in made_by else [-1] for name in shape.input[1:]]
        if not any(-1 in sizes for sizes in others):
            first.attribute[0].ints[:] = [-1]


def _ints(node: onnx.NodeProto) -> list[int]:
    """What a constant holds; [-1], which may be any size, for another node."""
    return list(node.attribute[0].ints) if node.op_type == "Constant" and node.attribute[0].ints else [-1]


def _array(attribute: onnx.AttributeProto) -> np.ndarray[Any, Any]:
    value = onnx.helper.get_attribute_value(attribute)
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.array(value)


def _identity(network: nn.Module, height: int, width: int) -> bytes:
    """Everything of a network but the values of its weights; empty where it cannot be written down."""
    for module in network.modules():
        if type(module).__module__.split(".")[0] not in _FIXED or "forward" in vars(module):
            return b""
    weights = {
        id(value): (name, str(value.dtype), *value.shape)
        for name, value in network.state_dict(keep_vars=True).items()
        if isinstance(value, Tensor)
    }

    class Pickler(pickle.Pickler):
        def persistent_id(self, item: object) -> object:
            return weights.get(id(item)) if isinstance(item, Tensor) else None

    written = io.BytesIO()
    try:
        Pickler(written).dump((network, height, width))
    except Exception:  # a class may refuse in any way; it is traced each time then
        return b""
    return written.getvalue()
