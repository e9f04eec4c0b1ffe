"""ONNX Runtime on CPUs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from reid.config import Target
from reid.errors import UnverifiedError
from reid.export.spec import InputSpec
from reid.runtime.base import demand_cpu
from reid.runtime.inspection import inspect

__all__ = ["OnnxRuntime"]

# Throughput is flat from 8 images on (docs/decisions/0004-export-and-int8.md); memory is not.
_CHUNK = 16


class OnnxRuntime:
    """An ONNX artifact on a CPU, with a fixed number of threads that sleep between operations.

    Threads that spin while idle are faster alone and far slower beside anything else
    (docs/decisions/0004-export-and-int8.md).
    """

    def __init__(self, path: Path, target: Target) -> None:
        """Open `path` on `target`.

        Raises:
            NoDevice: the target is no CPU.
            ArtifactError: as in `inspect`; also if ONNX Runtime refuses the graph.
        """
        demand_cpu(target)
        inspected = inspect(path)
        self._spec = inspected.spec
        self._scheme = inspected.scheme
        self._batch = target.batch
        try:
            self._session = onnxruntime.InferenceSession(
                inspected.content, _options(target.threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own errors have no common base but this
            reason = " ".join(str(error).split())
            raise UnverifiedError(f"onnxruntime cannot open {path}: {reason}") from error

    @property
    def spec(self) -> InputSpec:
        """What the artifact expects of an image."""
        return self._spec

    @property
    def scheme(self) -> str:
        """Name of the artifact's quantization in `reid.quantize.SCHEMES`."""
        return self._scheme

    def embed(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Embeddings of decoded images, as `Runtime.embed` says.

        Args:
            images: (N, height, width, 3) uint8, RGB, at the size of `spec`.

        Returns:
            (N, D) float32, each row of length 1.

        Raises:
            ConfigError: floats or another size.
        """
        self._spec.check(images)
        out = np.empty((len(images), self._spec.embedding_dim), dtype=np.float32)
        for start in range(0, len(images), _CHUNK):
            out[start : start + _CHUNK] = self._embed_chunk(images[start : start + _CHUNK])
        return out

    def timer(self) -> Callable[[], None]:
        """A call that runs the target's batch once, on fixed random input that is normalised beforehand."""
        spec = self._spec
        shape = (self._batch, spec.height, spec.width, 3)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        inputs = [spec.normalise(view) for view in spec.views(images)]

        def run() -> None:
            for batch in inputs:
                self._run(batch)

        return run

    def _embed_chunk(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        views = [self._run(self._spec.normalise(view)) for view in self._spec.views(images)]
        if len(views) == 1:
            return views[0]
        total = np.sum(views, axis=0, dtype=np.float32)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        unit: NDArray[np.float32] = total / np.maximum(length, np.float32(1e-12))
        return unit

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        embedding: NDArray[np.float32] = self._session.run(["embedding"], {"images": batch})[0]
        return embedding


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
