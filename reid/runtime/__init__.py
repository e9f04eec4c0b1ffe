"""Runtimes: the one place that opens artifacts."""

from functools import partial
from pathlib import Path

from reid.config import Target, reject_unknown
from reid.export.artifact import MODEL_FILE
from reid.runtime.base import Runtime
from reid.runtime.openvino import IR_FILES
from reid.runtime.parity import LEAST_COSINE, check_parity, parity
from reid.runtime.pinned import Pinned
from reid.runtime.targets import (
    RUNTIMES,
    demand_usable,
    for_embedding,
    installed_runtimes,
    usable_devices,
    version_of,
)

__all__ = [
    "LEAST_COSINE",
    "PROGRAM_FILE",
    "RUNTIMES",
    "SCRIPT_FILES",
    "Runtime",
    "check_parity",
    "demand_usable",
    "for_embedding",
    "installed_runtimes",
    "model_file",
    "open_artifact",
    "parity",
    "runtime_of",
    "usable_devices",
    "version_of",
]

SCRIPT_FILES = {"torchscript": "model.x86.pt", "torchscript-qnnpack": "model.qnnpack.pt"}
"""TorchScript inside a package, for programs of its owner; we open the ONNX file beside it."""

PROGRAM_FILE = "model.pte"
"""An ExecuTorch program inside a package; again we open the ONNX file beside it."""


def open_artifact(path: Path, target: Target) -> Runtime:
    """Open an exported file on a target.

    Args:
        path: the file, or the artifact's or package's folder that holds `model.onnx` (or `model.xml`).
        target: runtime, device, threads, batch and cores.

    Raises:
        ConfigError: the runtime is unknown; lists the known.
        NoDevice: the runtime cannot use the device or the cores, or is not installed.
        ArtifactError: the file cannot be read, or is not one of ours.
    """
    reject_unknown([target.runtime], RUNTIMES, "target.runtime")
    file = model_file(path) if path.is_dir() else path
    open_it = partial(RUNTIMES[target.runtime].open, file, target)
    return open_it() if target.affinity is None else Pinned(open_it, target.affinity)


def runtime_of(folder: Path) -> str:
    """Name of the runtime that a package's folder is made for, told by its model file."""
    if (folder / IR_FILES[0]).is_file():
        return "openvino"
    files = {**SCRIPT_FILES, "executorch": PROGRAM_FILE}
    return next((name for name, file in files.items() if (folder / file).is_file()), "onnxruntime")


def model_file(folder: Path) -> Path:
    """The graph inside the folder of an artifact or package."""
    return folder / (IR_FILES[0] if runtime_of(folder) == "openvino" else MODEL_FILE)
