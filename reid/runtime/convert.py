"""An artifact in the format of another runtime: the same network, proved by its embeddings."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.config import Target, reject_unknown
from reid.errors import ArtifactError, ConfigError
from reid.export.artifact import FLOAT_SCHEMES, MODEL_FILE
from reid.export.metadata import read_metadata
from reid.runtime import PROGRAM_FILE, SCRIPT_FILES, demand_usable
from reid.runtime.base import Runtime
from reid.runtime.inspection import inspect
from reid.runtime.openvino import IR_FILES, IR_KEYS, load_openvino
from reid.runtime.parity import LEAST_COSINE

__all__ = ["CONVERTERS", "LEAST_INT8_COSINE", "check_conversion", "convert", "runtime_for"]

LEAST_INT8_COSINE = 0.99
"""Smallest cosine to the source for int8, where runtimes round in different places."""

_MOST_IMAGES = 32
"""Largest batch of an ExecuTorch program, which sets its memory aside."""

_SCHEMES = frozenset({"fp32", "bf16", "int8-static", "int8-qat", "int8-mixed"})
_PIXELS = "onnxruntime-pixels"
_TAKEN = {"executorch": frozenset({"fp32"}), _PIXELS: _SCHEMES | {"fp16", "int8-dynamic"}}


def convert(source: Path, target: str, *, half: bool = False) -> dict[str, bytes]:
    """Convert an exported ONNX file.

    Args:
        source: the file.
        target: name in `CONVERTERS`.
        half: keep the weights as fp16; for float schemes only, int8 weights are smaller already.

    Returns:
        File name -> content.

    Raises:
        ConfigError: unknown target, or the target does not take the file's scheme.
        NoDevice: the target's package is not installed.
        ArtifactError: the file is not ours, or cannot be converted.
    """
    reject_unknown([target], CONVERTERS, "target to export to")
    inspected = inspect(source)
    taken = _TAKEN.get(target, _SCHEMES)
    if inspected.scheme not in taken:
        raise ConfigError(
            f"{source} is {inspected.scheme}, which {target} does not take; it takes {', '.join(sorted(taken))}"
        )
    if half and inspected.scheme not in FLOAT_SCHEMES:
        raise ConfigError(f"--fp16 halves float weights, and {source} is {inspected.scheme}; leave it out")
    return CONVERTERS[target](inspected.content, half)


def runtime_for(target: str) -> str:
    """Name of the runtime that opens what a converter makes."""
    return "onnxruntime" if target == _PIXELS else target


def check_conversion(source: Runtime, converted: Runtime, images: NDArray[np.uint8]) -> float:
    """Smallest cosine between the embeddings of both over the images.

    Args:
        source: the artifact that was converted, opened.
        converted: what came of it, opened.
        images: (N, height, width, 3) uint8, RGB, N >= 1.

    Raises:
        ArtifactError: it is below `LEAST_COSINE`, or for int8 below `LEAST_INT8_COSINE`.
    """
    least = LEAST_COSINE if source.scheme in FLOAT_SCHEMES else LEAST_INT8_COSINE
    cosine = float(np.min(np.sum(source.embed(images) * converted.embed(images), axis=1)))
    # Written so that NaN fails too.
    if not cosine >= least:
        raise ArtifactError(
            f"the converted network differs from its source: smallest cosine {cosine:.6f} over {len(images)} "
            f"images, at least {least} wanted for {source.scheme}; keep the source"
        )
    return cosine


def _openvino_ir(content: bytes, half: bool) -> dict[str, bytes]:
    openvino = load_openvino()
    try:
        model = openvino.Core().read_model(content)
        for key, name in IR_KEYS.items():
            model.set_rt_info(_metadata(content)[key], ["reid_pareto", name])
        with tempfile.TemporaryDirectory(prefix="reid-pareto-ir-") as folder:
            openvino.save_model(model, Path(folder) / IR_FILES[0], compress_to_fp16=half)
            return {name: (Path(folder) / name).read_bytes() for name in IR_FILES}
    except (RuntimeError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"openvino cannot convert this network: {' '.join(str(error).split())}"
        ) from error


def _metadata(content: bytes) -> Mapping[str, str]:
    import onnx  # here, because it is slow to import

    model: Any = onnx.load_model_from_string(content)
    found = {entry.key: entry.value for entry in model.metadata_props}
    read_metadata(found, "the source")
    return found


def _pixels(content: bytes, half: bool) -> dict[str, bytes]:
    from reid.export.pixels import with_pixels  # here, because onnx is slow to import

    if half:
        raise ConfigError(f"{_PIXELS} has no files with halved weights; leave --fp16 out")
    return {MODEL_FILE: with_pixels(content)}


def _torchscript(runtime: str) -> Callable[[bytes, bool], dict[str, bytes]]:
    def write(content: bytes, half: bool) -> dict[str, bytes]:
        from reid.runtime.torchscript import script_bytes  # here, because torch is slow to import

        if half:
            raise ConfigError(f"{runtime} has no files with halved weights; leave --fp16 out")
        spec, _ = read_metadata(_metadata(content), "the source")
        file = script_bytes(content, (spec.height, spec.width), runtime)
        return {MODEL_FILE: content, SCRIPT_FILES[runtime]: file}

    return write


def _executorch(content: bytes, half: bool) -> dict[str, bytes]:
    demand_usable(Target(runtime="executorch"))
    from reid.runtime.executorch import program_bytes  # here, because torch is slow to import

    if half:
        raise ConfigError("executorch has no files with halved weights; leave --fp16 out")
    spec, _ = read_metadata(_metadata(content), "the source")
    return {
        MODEL_FILE: content,
        PROGRAM_FILE: program_bytes(content, (spec.height, spec.width), _MOST_IMAGES),
    }


CONVERTERS: dict[str, Callable[[bytes, bool], dict[str, bytes]]] = {
    "openvino": _openvino_ir,
    "executorch": _executorch,
    _PIXELS: _pixels,
    **{runtime: _torchscript(runtime) for runtime in SCRIPT_FILES},
}
"""Converters by target: (ONNX file, halve the weights) -> files."""
