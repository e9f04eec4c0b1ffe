"""PyTorch on NVIDIA GPUs: an exported graph in fp32, fp16 or bf16, timed as one CUDA graph."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.config import Target
from reid.errors import NoDevice
from reid.runtime.base import Opened
from reid.runtime.inspection import inspect
from reid.runtime.torch_graph import TorchGraph, graph_errors

__all__ = ["TorchCudaRuntime", "demand_cuda", "network_of"]

_WARM_UP = 3
"""Runs before a capture: libraries choose their kernels in the first ones."""


class TorchCudaRuntime(Opened):
    """An ONNX artifact on a GPU; the copy of the images to the GPU and of the embedding back count as latency."""

    def __init__(self, path: Path, target: Target) -> None:
        """Open `path`, an .onnx file, on `target`.

        Raises:
            NoDevice: the target is no GPU, or this machine does not have it.
            ArtifactError: as in `inspect`; also if the graph has no counterpart in torch.
        """
        demand_cuda(target)
        inspected = inspect(path)
        super().__init__(inspected.spec, inspected.scheme, target.batch)
        self._device = torch.device(target.device)
        with graph_errors(path, target.runtime):
            self._network = network_of(inspected.content, inspected.scheme, self._device)

    def timer(self) -> Callable[[], None]:
        """A call that runs the target's batch once and waits for it; the network runs as a captured CUDA graph."""
        inputs = [torch.from_numpy(batch).pin_memory() for batch in self._timed_inputs()]
        images = inputs[0].to(self._device)
        graph, embedding = self._captured(images)
        found = torch.empty(embedding.shape, dtype=embedding.dtype, pin_memory=True)

        def run() -> None:
            for batch in inputs:
                images.copy_(batch, non_blocking=True)
                graph.replay()
                found.copy_(embedding, non_blocking=True)
            torch.cuda.synchronize(self._device)

        return run

    def _captured(self, images: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device), torch.inference_mode():
            side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP):
                    self._network(images)
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(graph):
                embedding = self._network(images)
        return graph, embedding

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            found: NDArray[np.float32] = self._network(torch.from_numpy(batch).to(self._device)).cpu().numpy()
        return found


def demand_cuda(target: Target) -> None:
    """Refuse a target that is no GPU of this machine.

    Raises:
        NoDevice: says what was asked and what is here.
    """
    kind, _, number = target.device.partition(":")
    if kind != "cuda":
        raise NoDevice(
            f"target.device {target.device!r}: torch-cuda runs on 'cuda:N' only; set device cuda:0"
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number) >= count:
        raise NoDevice(f"target.device {target.device!r}: torch {torch.__version__} finds {count} GPUs here")


def network_of(content: bytes, scheme: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A function from normalised images (N, 3, height, width) float32 on `device` to embeddings, float32.

    Args:
        content: an ONNX file in a float scheme.
        scheme: "bf16" computes in bfloat16 whatever the file leaves in float32; fp16 files say themselves what is half.
        device: that holds the weights.

    Raises:
        ArtifactError: the graph has no counterpart in torch.
    """
    graph = TorchGraph(onnx.load_model_from_string(content)).eval().to(device)

    def embed(images: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=scheme == "bf16"):
            embedding: Tensor = graph(images.contiguous(memory_format=torch.channels_last))
        return embedding.float()

    return embed
