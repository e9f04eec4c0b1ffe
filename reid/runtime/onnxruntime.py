"""ONNX Runtime on CPUs, and on NVIDIA GPUs where its package for them is installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from reid.config import Target
from reid.errors import NoDevice, UnverifiedError
from reid.export.pixels import PIXELS
from reid.runtime.base import Opened
from reid.runtime.inspection import inspect

__all__ = ["OnnxRuntime", "demand_provider", "session_options"]

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class OnnxRuntime(Opened):
    """An ONNX artifact with a fixed number of threads that sleep between operations.

    Threads that spin while idle are faster alone and far slower beside anything else
    (docs/decisions/0004-export-and-int8.md).
    """

    def __init__(self, path: Path, target: Target) -> None:
        """Open `path` on `target`.

        Raises:
            NoDevice: this onnxruntime cannot use the device.
            ArtifactError: as in `inspect`; also if ONNX Runtime refuses the graph.
        """
        demand_provider(target)
        inspected = inspect(path, pixels=True)
        super().__init__(inspected.spec, inspected.scheme, target.batch)
        self._pixels = inspected.pixels
        try:
            self._session = onnxruntime.InferenceSession(
                inspected.content, session_options(target.threads), providers=_providers(target.device)
            )
        except Exception as error:  # ONNX Runtime's own errors have no common base but this
            reason = " ".join(str(error).split())
            raise UnverifiedError(f"onnxruntime cannot open {path}: {reason}") from error
        if target.device != "cpu" and _CUDA not in self._session.get_providers():
            # It goes on with the CPU where libraries of CUDA are missing, and says so in its log only.
            raise NoDevice(
                f"target.device {target.device!r}: onnxruntime fell back to the CPU; install the CUDA and cuDNN that "
                "its version needs"
            )

    def timer(self) -> Callable[[], None]:
        """A call that runs the target's batch once, on fixed random input.

        It is normalised beforehand, unless the file takes pixels and does that itself.
        """
        if self._pixels:
            return self._pixel_timer()
        inputs = self._timed_inputs()

        def run() -> None:
            for batch in inputs:
                self._run(batch)

        return run

    def _pixel_timer(self) -> Callable[[], None]:
        images = self._timed_images()

        def run() -> None:
            self._sum_of_views(images)

        return run

    def _sum_of_views(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if not self._pixels:
            return super()._sum_of_views(images)
        embedding: NDArray[np.float32] = self._session.run(
            ["embedding"], {PIXELS: np.ascontiguousarray(images)}
        )[0]
        return embedding

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        embedding: NDArray[np.float32] = self._session.run(["embedding"], {"images": batch})[0]
        return embedding


def demand_provider(target: Target) -> None:
    """Refuse a device that the installed onnxruntime cannot use.

    Raises:
        NoDevice: it has no kernels for the device; says which package does.
    """
    known = onnxruntime.get_available_providers()
    if target.device != "cpu" and _CUDA not in known:
        raise NoDevice(
            f"target.device {target.device!r}: this onnxruntime runs on 'cpu' only; set device cpu, or install "
            "onnxruntime-gpu in its place on a machine with an NVIDIA GPU"
        )


def _providers(device: str) -> list[Any]:
    if device == "cpu":
        return [_CPU]
    return [(_CUDA, {"device_id": int(device.partition(":")[2])}), _CPU]


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """How every session of ours runs, whatever it is for."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
