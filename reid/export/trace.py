"""A torch network as an ONNX graph; the one module of this folder that needs torch."""

import copy
import warnings
from collections.abc import Iterable
from typing import Any, cast

import onnx
import torch
from torch import Tensor, nn

from reid.errors import ArtifactError

__all__ = ["trace"]

# The exporter's native opset: an older one means a conversion, a newer one shuts out older runtimes.
_OPSET = 18
# The exporter specialises a dimension of 1, so the example batch is larger.
_EXAMPLE_BATCH = 2


class _UnitEmbedding(nn.Module):
    """The network with L2 normalisation as its last operation.

    Written out as a broadcast quotient because `functional.normalize` exports a Shape and an Expand, on which
    the shape inference before quantization stumbles.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        embedding: Tensor = self.network(images)
        unit: Tensor = embedding / embedding.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return unit


def trace(model: nn.Module, height: int, width: int) -> onnx.ModelProto:
    """Trace `model` in evaluation mode; batch normalisation is folded into the convolutions before it.

    Args:
        model: maps (N, 3, height, width) float32 to (N, D); it is left as it is.
        height: of the input.
        width: of the input.

    Returns:
        A graph with input "images" and output "embedding", L2-normalised; the number of images is free.

    Raises:
        ArtifactError: the network does something that ONNX cannot express.
    """
    network = _UnitEmbedding(copy.deepcopy(model).cpu()).eval()
    images = torch.zeros(_EXAMPLE_BATCH, 3, height, width)
    with warnings.catch_warnings():
        # torch's own use of a class that torch deprecated.
        warnings.filterwarnings(
            "ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning
        )
        try:
            program = torch.onnx.export(
                network,
                (images,),
                input_names=["images"],
                output_names=["embedding"],
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ArtifactError(
                f"cannot export {type(model).__name__}: {str(error).splitlines()[0]}"
            ) from error
    graph = cast(Any, program).model_proto
    _forget_origin(graph)
    return graph


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes: they name source files of this machine and differ between runs."""
    graph = model.graph
    del graph.value_info[:]  # every runtime infers these shapes
    noted: Iterable[Any] = (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer)
    for item in noted:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
