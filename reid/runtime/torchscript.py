"""TorchScript on CPUs, in torch's own integer kernels: the engines x86 (oneDNN, FBGEMM) and qnnpack.

A network is always opened from its ONNX file and turned into TorchScript here, so that no TorchScript file of a
stranger is ever loaded; `script_bytes` gives the file for a program that runs torch.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from reid.config import Target
from reid.errors import NoDevice
from reid.runtime.base import Opened, demand_cpu
from reid.runtime.inspection import inspect
from reid.runtime.quantized_torch import QuantizedArithmetic
from reid.runtime.torch_graph import TorchGraph, graph_errors

__all__ = ["ENGINES", "TorchScriptRuntime", "demand_engine", "script", "script_bytes", "settings"]

ENGINES = {"torchscript": "x86", "torchscript-qnnpack": "qnnpack"}
"""Engine of torch's quantized kernels by the name of the target."""

# Traced with another number than the one that is mostly run, so that nothing can depend on it unseen.
_EXAMPLE_BATCH = 2


class TorchScriptRuntime(Opened):
    """An ONNX artifact as TorchScript on a CPU, with a fixed number of threads."""

    def __init__(self, path: Path, target: Target) -> None:
        """Open `path`, an .onnx file, on `target`.

        Raises:
            NoDevice: the target is no CPU, or this build of torch lacks the engine.
            ArtifactError: as in `inspect`; also if the graph has no counterpart in torch.
        """
        demand_engine(target)
        inspected = inspect(path)
        super().__init__(inspected.spec, inspected.scheme, target.batch)
        self._engine, self._threads = ENGINES[target.runtime], target.threads
        with graph_errors(path, target.runtime):
            self._script = script(inspected.content, (self._spec.height, self._spec.width), self._engine)

    def timer(self) -> Callable[[], None]:
        """A call that runs the target's batch once, on fixed random input that is normalised beforehand."""
        inputs = [torch.from_numpy(batch) for batch in self._timed_inputs()]

        def run() -> None:
            with settings(self._engine, self._threads):
                for batch in inputs:
                    self._script(batch)

        return run

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(batch):
            return np.empty((0, self._spec.embedding_dim), dtype=np.float32)
        with settings(self._engine, self._threads):
            found: NDArray[np.float32] = self._script(torch.from_numpy(batch)).numpy()
        return found


def demand_engine(target: Target) -> None:
    """Refuse a target whose engine this build of torch lacks.

    Raises:
        NoDevice: names the engines that it has.
    """
    demand_cpu(target)
    engine, known = ENGINES[target.runtime], torch.backends.quantized.supported_engines
    if engine not in known:
        here = ", ".join(name for name in known if name != "none")
        raise NoDevice(
            f"target.runtime {target.runtime}: this torch lacks the engine {engine}; it has {here}"
        )


def script_bytes(content: bytes, size: tuple[int, int], runtime: str) -> bytes:
    """The TorchScript file of an ONNX file, for `torch.jit.load` under the same engine.

    Args:
        content: the ONNX file, inspected.
        size: (height, width) of its input.
        runtime: name in `ENGINES`.

    Raises:
        ArtifactError: the graph has no counterpart in torch.
    """
    buffer = io.BytesIO()
    with _quiet():
        torch.jit.save(script(content, size, ENGINES[runtime]), buffer)
    return buffer.getvalue()


def script(content: bytes, size: tuple[int, int], engine: str) -> Any:
    """The graph of an ONNX file, traced and frozen; it takes normalised images (N, 3, height, width)."""
    images = torch.zeros(_EXAMPLE_BATCH, 3, *size)
    with settings(engine, torch.get_num_threads()), _quiet():
        network = TorchGraph(onnx.load_model_from_string(content), QuantizedArithmetic()).eval()
        traced = torch.jit.trace(network, images, check_trace=False)  # type: ignore[no-untyped-call]
        return torch.jit.freeze(traced)


@contextmanager
def settings(engine: str, threads: int) -> Iterator[None]:
    """Torch's settings of the whole process, put back afterwards: a trainer may go on with others."""
    before = torch.backends.quantized.engine, torch.get_num_threads()
    torch.backends.quantized.engine = engine
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.backends.quantized.engine = before[0]
        torch.set_num_threads(before[1])


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # Constants of the graph become constants of the trace, as they should.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        # Torch means to drop quantized tensors and TorchScript some day; both are what this target is.
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        yield
