"""Runtimes: the one place that opens artifacts."""

from collections.abc import Callable
from pathlib import Path

from reid.config import Target, reject_unknown
from reid.export.artifact import MODEL_FILE
from reid.runtime.base import Runtime
from reid.runtime.onnxruntime import OnnxRuntime
from reid.runtime.parity import LEAST_COSINE, check_parity, parity

__all__ = ["LEAST_COSINE", "RUNTIMES", "Runtime", "check_parity", "open_artifact", "parity"]

RUNTIMES: dict[str, Callable[[Path, Target], Runtime]] = {"onnxruntime": OnnxRuntime}
"""Runtimes by the name that `Target.runtime` uses."""


def open_artifact(path: Path, target: Target) -> Runtime:
    """Open an exported file on a target.

    Args:
        path: the file, or the artifact's or package's folder that holds `model.onnx`.
        target: runtime, device, threads and batch.

    Raises:
        ConfigError: the runtime is unknown; lists the known.
        NoDevice: the runtime cannot use the device.
        ArtifactError: the file cannot be read, or is not one of ours.
    """
    reject_unknown([target.runtime], RUNTIMES, "target.runtime")
    return RUNTIMES[target.runtime](path / MODEL_FILE if path.is_dir() else path, target)
