"""Runtimes: the one place that opens artifacts."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from reid.config import Target, reject_unknown
from reid.export.artifact import MODEL_FILE
from reid.runtime.base import Runtime, demand_cpu
from reid.runtime.onnxruntime import OnnxRuntime
from reid.runtime.openvino import IR_FILES, OpenVinoRuntime, load_openvino
from reid.runtime.parity import LEAST_COSINE, check_parity, parity

__all__ = [
    "LEAST_COSINE",
    "RUNTIMES",
    "Runtime",
    "check_parity",
    "demand_usable",
    "installed_runtimes",
    "model_file",
    "open_artifact",
    "parity",
    "runtime_of",
]

RUNTIMES: dict[str, Callable[[Path, Target], Runtime]] = {
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVinoRuntime,
}
"""Runtimes by the name that `Target.runtime` uses."""


def open_artifact(path: Path, target: Target) -> Runtime:
    """Open an exported file on a target.

    Args:
        path: the file, or the artifact's or package's folder that holds `model.onnx` (or `model.xml`).
        target: runtime, device, threads and batch.

    Raises:
        ConfigError: the runtime is unknown; lists the known.
        NoDevice: the runtime cannot use the device, or is not installed.
        ArtifactError: the file cannot be read, or is not one of ours.
    """
    reject_unknown([target.runtime], RUNTIMES, "target.runtime")
    return RUNTIMES[target.runtime](model_file(path) if path.is_dir() else path, target)


def demand_usable(target: Target) -> None:
    """Refuse a target that cannot be timed on here, before there is anything to open.

    Raises:
        NoDevice: the runtime cannot use the device, or is not installed.
    """
    demand_cpu(target)
    if target.runtime == "openvino":
        load_openvino()


def runtime_of(folder: Path) -> str:
    """Name of the runtime that a package's folder is made for, told by its model file."""
    return "openvino" if (folder / IR_FILES[0]).is_file() else "onnxruntime"


def installed_runtimes() -> list[str]:
    """Names of the runtimes that can be used here; openvino is an extra."""
    return [name for name in RUNTIMES if importlib.util.find_spec(name) is not None]


def model_file(folder: Path) -> Path:
    """The graph inside the folder of an artifact or package."""
    return folder / (IR_FILES[0] if runtime_of(folder) == "openvino" else MODEL_FILE)
