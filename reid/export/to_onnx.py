"""Export of a torch network to the one format that every runtime of ours reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from reid.errors import ConfigError
from reid.export.artifact import Artifact
from reid.export.denormals import flush_tiny
from reid.export.metadata import write_metadata
from reid.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from reid.export.spec import InputSpec

__all__ = ["export_onnx"]


def export_onnx(model: nn.Module, spec: InputSpec, path: Path) -> Artifact:
    """Write `model` as one self-contained ONNX file; equal weights give equal bytes.

    The graph takes "images" (N, 3, height, width) float32, normalised by `spec`, and returns "embedding"
    (N, D) float32, L2-normalised; N is free.
    Weights too small to matter are written as zero. The specification is part of the file's metadata.

    Args:
        model: a network of `reid.models`, dense or slimmed, on any device; it is left as it is.
        spec: what the network expects of an image.
        path: of the new file.

    Raises:
        ConfigError: the network's embedding is not `spec.embedding_dim` wide.
        ArtifactError: ONNX cannot express the network.
        ResourceError: the file cannot be written.
    """
    from reid.export.trace import trace  # here, so that reading an artifact does not need torch

    graph = trace(model, spec.height, spec.width)
    width = graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    if width != spec.embedding_dim:
        raise ConfigError(
            f"embedding_dim is {spec.embedding_dim}, but the network's embedding is {width} wide"
        )
    flush_tiny(graph)
    write_metadata(graph, spec, "fp32")
    onnx.checker.check_model(graph)
    write_atomic(path, graph.SerializeToString(deterministic=True))
    return Artifact.of(path, spec, "fp32")
