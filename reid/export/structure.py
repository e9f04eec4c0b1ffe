"""The graph of a network without its weights: what torch's exporter takes most of its time for."""

import io
import pickle
import warnings
from typing import Any, cast

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

__all__ = ["forget", "structure_of", "with_weights"]

# The exporter's native opset: an older one means a conversion, a newer one shuts out older runtimes.
_OPSET = 18
# The exporter specialises a dimension of 1, so the example batch is larger.
_EXAMPLE_BATCH = 2
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
    graph = _export(network, torch.zeros(_EXAMPLE_BATCH, 3, height, width))
    for one in graph.graph.initializer:
        if one.name in network.state_dict():
            one.ClearField("raw_data")
    return graph


def _export(network: nn.Module, images: Tensor) -> onnx.ModelProto:
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
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        )
    return cast(Any, program).model_proto


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
