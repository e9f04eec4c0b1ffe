"""Quantization schemes by name."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.config import reject_unknown
from reid.errors import ConfigError
from reid.export.artifact import Artifact
from reid.export.metadata import write_metadata
from reid.files import write_atomic, write_with
from reid.quantize.compact import compact
from reid.quantize.precisions import layer_precisions
from reid.quantize.static import quantize_static_int8

__all__ = ["SCHEMES", "Layers", "quantize"]

Layers = Mapping[str, Sequence[str]]
"""Names of the weighted layers under "quantized" and "float"."""


def quantize(artifact: Artifact, scheme: str, calibration: NDArray[np.uint8], path: Path) -> Artifact:
    """Write `artifact` in another scheme; equal inputs give equal bytes.

    Args:
        artifact: an fp32 file.
        scheme: name in `SCHEMES`.
        calibration: (N, height, width, 3) uint8, RGB, of training identities (`calibration_samples`); "fp32"
            reads none of it.
        path: of the new file.

    Raises:
        ConfigError: the scheme is unknown, `artifact` is quantized already, or the calibration images are
            none, floats or of another size.
        ResourceError: the file cannot be written.
    """
    reject_unknown([scheme], SCHEMES, "quantization")
    if artifact.scheme != "fp32":
        raise ConfigError(f"{artifact.path} is {artifact.scheme} already; quantize the fp32 file")
    layers = SCHEMES[scheme](artifact, calibration, path)
    return Artifact.of(path, artifact.spec, scheme, layers)


def _keep(artifact: Artifact, _: NDArray[np.uint8], path: Path) -> Layers | None:
    def copy(temporary: Path) -> None:
        shutil.copyfile(artifact.path, temporary)

    write_with(path, copy)
    return artifact.layers


def _int8_static(artifact: Artifact, calibration: NDArray[np.uint8], path: Path) -> Layers:
    artifact.spec.check(calibration)
    if not len(calibration):
        raise ConfigError("int8-static needs at least 1 calibration image; raise calibration_images")
    model = quantize_static_int8(artifact.path, artifact.spec, calibration)
    layers = layer_precisions(model)
    compact(model)
    write_metadata(model, artifact.spec, "int8-static")
    write_atomic(path, model.SerializeToString(deterministic=True))
    return layers


SCHEMES: dict[str, Callable[[Artifact, NDArray[np.uint8], Path], Layers | None]] = {
    "fp32": _keep,
    "int8-static": _int8_static,
}
"""What writes an artifact in each scheme."""
