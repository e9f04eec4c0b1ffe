"""Exported networks: what they expect of an image, how they are written, what they are as files."""

from reid.export.artifact import FLOAT_SCHEMES, MODEL_FILE, Artifact
from reid.export.spec import InputSpec
from reid.export.to_onnx import export_onnx

__all__ = ["FLOAT_SCHEMES", "MODEL_FILE", "Artifact", "InputSpec", "export_onnx"]
