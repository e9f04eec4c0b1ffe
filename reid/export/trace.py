"""A torch network as an ONNX graph; with `structure`, what of this folder needs torch."""

import copy

import onnx
import onnxscript.optimizer
import torch
from torch import Tensor, nn

from reid.errors import ArtifactError
from reid.export.structure import structure_of, with_weights

__all__ = ["trace"]


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
    try:
        structure = structure_of(network, height, width)
    except torch.onnx.errors.OnnxExporterError as error:
        raise ArtifactError(f"cannot export {type(model).__name__}: {str(error).splitlines()[0]}") from error
    graph = onnxscript.optimizer.optimize(with_weights(structure, network))
    _forget_origin(graph)
    return graph


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes: they name source files of this machine and differ between runs."""
    graph = model.graph
    del graph.value_info[:]  # every runtime infers these shapes
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
