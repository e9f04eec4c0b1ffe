"""Quantization schemes by name."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from reid.config import reject_unknown
from reid.errors import ConfigError
from reid.export.artifact import Artifact
from reid.export.metadata import write_metadata
from reid.export.spec import InputSpec
from reid.files import write_atomic, write_with
from reid.quantize.compact import compact
from reid.quantize.dynamic import quantize_dynamic_int8
from reid.quantize.half import to_bf16, to_fp16
from reid.quantize.precisions import layer_precisions
from reid.quantize.settings import PLAIN, QuantizationSettings
from reid.quantize.static import quantize_static_int8

__all__ = ["CALIBRATED", "SCHEMES", "Layers", "quantize", "write_quantized"]

Layers = Mapping[str, Sequence[str]]
"""Names of the weighted layers under "quantized" and "float"."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Order:
    """What a writer is to write."""

    artifact: Artifact
    scheme: str
    images: NDArray[np.uint8]
    path: Path
    settings: QuantizationSettings


def quantize(
    artifact: Artifact,
    scheme: str,
    calibration: NDArray[np.uint8],
    path: Path,
    settings: QuantizationSettings = PLAIN,
) -> Artifact:
    """Write `artifact` in another scheme; equal inputs give equal bytes.

    "int8-qat" is written as it is before its training, which `reid.steps.qat` does; "int8-mixed" with the float
    layers that `settings` name, which `reid.steps.mixed` chooses.

    Args:
        artifact: an fp32 file.
        scheme: name in `SCHEMES`.
        calibration: (N, height, width, 3) uint8, RGB, of training identities (`calibration_samples`); float schemes
            and "int8-dynamic" read none of it.
        path: of the new file.
        settings: how ranges are taken, and what stays float.

    Raises:
        ConfigError: the scheme or the calibration method is unknown, `artifact` is quantized already, or the
            calibration images are none, floats or of another size.
        ResourceError: the file cannot be written.
    """
    reject_unknown([scheme], SCHEMES, "quantization")
    if artifact.scheme != "fp32":
        raise ConfigError(f"{artifact.path} is {artifact.scheme} already; quantize the fp32 file")
    order = _Order(artifact=artifact, scheme=scheme, images=calibration, path=path, settings=settings)
    return Artifact.of(path, artifact.spec, scheme, SCHEMES[scheme](order))


def write_quantized(model: onnx.ModelProto, spec: InputSpec, scheme: str, path: Path) -> Layers:
    """Write a graph whose values still bear the names of their layers; gives the layers by arithmetic.

    Args:
        model: shortened in place.
        spec: what the network expects of an image.
        scheme: name in `SCHEMES`.
        path: of the new file.

    Raises:
        ResourceError: the file cannot be written.
    """
    layers = layer_precisions(model)
    compact(model)
    write_metadata(model, spec, scheme)
    write_atomic(path, model.SerializeToString(deterministic=True))
    return layers


def _keep(order: _Order) -> Layers | None:
    def copy(temporary: Path) -> None:
        shutil.copyfile(order.artifact.path, temporary)

    write_with(order.path, copy)
    return order.artifact.layers


def _half(convert: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Callable[[_Order], None]:
    def write(order: _Order) -> None:
        model = convert(onnx.load(order.artifact.path))
        write_metadata(model, order.artifact.spec, order.scheme)
        write_atomic(order.path, model.SerializeToString(deterministic=True))

    return write


def _dynamic(order: _Order) -> Layers:
    model = quantize_dynamic_int8(order.artifact.path)
    return write_quantized(model, order.artifact.spec, order.scheme, order.path)


def _calibrated(order: _Order) -> Layers:
    spec = order.artifact.spec
    spec.check(order.images)
    if not len(order.images):
        raise ConfigError(f"{order.scheme} needs at least 1 calibration image; raise calibration_images")
    model = quantize_static_int8(order.artifact.path, spec, order.images, order.settings)
    return write_quantized(model, spec, order.scheme, order.path)


SCHEMES: dict[str, Callable[[_Order], Layers | None]] = {
    "fp32": _keep,
    "fp16": _half(to_fp16),
    "bf16": _half(to_bf16),
    "int8-dynamic": _dynamic,
    "int8-static": _calibrated,
    "int8-qat": _calibrated,
    "int8-mixed": _calibrated,
}
"""What writes an artifact in each scheme."""

CALIBRATED = frozenset(scheme for scheme, write in SCHEMES.items() if write is _calibrated)
"""Schemes whose ranges come from calibration images."""
