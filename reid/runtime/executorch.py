"""ExecuTorch with XNNPACK: today's way of PyTorch onto phones and small boards; here it runs on the CPU.

ExecuTorch is an extra (`pip install executorch`) and imported when a target names it. A network is always opened from
its ONNX file and lowered here; `program_bytes` gives the file for an application that embeds ExecuTorch.
"""

import functools
import importlib.util
import logging
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
from reid.errors import ArtifactError, NoDevice, NotHere
from reid.runtime.base import CHUNK, Opened, demand_cpu
from reid.runtime.inspection import inspect
from reid.runtime.torch_graph import TorchGraph, graph_errors

__all__ = ["ExecuTorchRuntime", "demand_executorch", "program_bytes"]

_XNNPACK = "XnnpackBackend"


class ExecuTorchRuntime(Opened):
    """An ONNX artifact as an ExecuTorch program whose layers XNNPACK runs, with a fixed number of threads."""

    def __init__(self, path: Path, target: Target) -> None:
        """Open `path`, an .onnx file, on `target`.

        Raises:
            NoDevice: the target is no CPU, or executorch is not installed.
            NotHere: another network of this process runs on another number of threads.
            ArtifactError: as in `inspect`; also if the graph cannot be lowered.
        """
        demand_executorch(target)
        inspected = inspect(path)
        super().__init__(inspected.spec, inspected.scheme, target.batch)
        with graph_errors(path, target.runtime):
            program = program_bytes(
                inspected.content, (self._spec.height, self._spec.width), max(CHUNK, target.batch)
            )
        _use_threads(target.threads)
        with _quiet():
            self._program = _runtime().load_program(program)  # its method lives no longer than it
            self._method = self._program.load_method("forward")

    def timer(self) -> Callable[[], None]:
        """A call that runs the target's batch once, on fixed random input that is normalised beforehand."""
        inputs = [torch.from_numpy(batch) for batch in self._timed_inputs()]

        def run() -> None:
            for batch in inputs:
                self._method.execute([batch])

        return run

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(batch):
            return np.empty((0, self._spec.embedding_dim), dtype=np.float32)
        # A copy: the next call overwrites the program's own memory.
        return np.array(self._method.execute([torch.from_numpy(batch)])[0].numpy(), dtype=np.float32)


def demand_executorch(target: Target) -> None:
    """Refuse a target that ExecuTorch cannot serve here.

    Raises:
        NoDevice: the target is no CPU, or executorch is not installed.
    """
    demand_cpu(target)
    # Not imported yet: that takes seconds.
    if importlib.util.find_spec("executorch") is None:
        raise NoDevice("the target executorch needs its package: pip install executorch")


def _runtime() -> Any:
    """ExecuTorch's own runtime.

    Raises:
        NoDevice: it does not load here, or lacks XNNPACK.
    """
    try:
        with _quiet():
            runtime = importlib.import_module("executorch.runtime").Runtime.get()
    except ImportError as error:
        raise NoDevice(f"executorch is installed but does not load ({error}); install it anew") from error
    if not runtime.backend_registry.is_available(_XNNPACK):
        raise NoDevice("this executorch was built without XNNPACK; install executorch from PyPI")
    return runtime


@functools.lru_cache(maxsize=4)
def program_bytes(content: bytes, size: tuple[int, int], most_images: int) -> bytes:
    """The ExecuTorch program (.pte) of an ONNX file; lowering takes seconds, so the last few are kept.

    Args:
        content: the ONNX file, inspected.
        size: (height, width) of its input.
        most_images: largest batch; its memory is set aside in advance.

    Raises:
        ArtifactError: the graph has no counterpart in torch, or cannot be lowered.
    """
    with _quiet():
        partition = importlib.import_module("executorch.backends.xnnpack.partition.xnnpack_partitioner")
        exir = importlib.import_module("executorch.exir")
    network = TorchGraph(onnx.load_model_from_string(content)).eval()
    images = torch.zeros(2, 3, *size)
    batch = torch.export.Dim("batch", min=1, max=most_images)
    try:
        with _quiet(), _any_batch():
            exported = torch.export.export(network, (images,), dynamic_shapes=({0: batch},))
            lowered = exir.to_edge_transform_and_lower(
                exported, partitioner=[partition.XnnpackPartitioner()]
            ).to_executorch()
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ArtifactError(f"executorch cannot lower this network: {reason}") from error
    program: bytes = bytes(lowered.buffer)
    return program


class _Pool:
    """The process's one pool of threads.

    Attributes:
        threads: of the pool, once a network holds it; a pool that changes under a network crashes the process.
    """

    threads: int | None = None


def _use_threads(threads: int) -> None:
    if _Pool.threads is None:
        with _quiet():
            library = importlib.import_module("executorch.extension.pybindings.portable_lib")
        library._unsafe_reset_threadpool(threads)
        _Pool.threads = threads
    if _Pool.threads != threads:
        raise NotHere(
            f"target.threads {threads}: this process runs executorch on {_Pool.threads} already, which it cannot "
            "change; start another process, or give both the same number"
        )


@contextmanager
def _any_batch() -> Iterator[None]:
    """Torch asks whether kernels of its own would pay, which differs from 16 images on; that bounds the batch at 15."""
    with torch.backends.nnpack.flags(enabled=False), torch.backends.mkldnn.flags(enabled=False):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Its imports and lowering warn of what they themselves do."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
