"""An exported network as a file, with what a reader must know about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from reid.export.spec import InputSpec
from reid.files import sha256_of

__all__ = ["FLOAT_SCHEMES", "MODEL_FILE", "Artifact"]

FLOAT_SCHEMES = frozenset({"fp32", "fp16", "bf16"})
"""Schemes whose embeddings must agree with those of the torch network."""

MODEL_FILE = "model.onnx"
"""Name of the exported file inside an artifact's folder or a package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An exported file; its content never changes after this was made.

    Attributes:
        path: of the file.
        spec: what it expects of an image.
        scheme: name in `reid.quantize.SCHEMES`.
        format: "onnx".
        size_bytes: of the file.
        sha256: hexadecimal, of the file.
        layers: names of the weighted layers under "quantized" and "float", where that is known.
    """

    path: Path
    spec: InputSpec
    scheme: str
    format: str
    size_bytes: int
    sha256: str
    layers: Mapping[str, Sequence[str]] | None = None

    @classmethod
    def of(
        cls, path: Path, spec: InputSpec, scheme: str, layers: Mapping[str, Sequence[str]] | None = None
    ) -> Self:
        """Describe the ONNX file at `path`."""
        return cls(
            path=path,
            spec=spec,
            scheme=scheme,
            format="onnx",
            size_bytes=path.stat().st_size,
            sha256=sha256_of(path),
            layers=layers,
        )
