"""Teachers as torch modules: beside the student on its device, seeing the very pixels that the student sees."""

from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from reid.data.normalize import MEAN, STD
from reid.errors import ArtifactError, ConfigError
from reid.runtime.foreign import Network, load_network
from reid.runtime.ir import IrGraph
from reid.runtime.operators import attributes_of
from reid.runtime.teacher_spec import TeacherSpec
from reid.runtime.torch_graph import TorchGraph

__all__ = ["TorchTeacher", "as_function", "torch_network"]


class TorchTeacher(nn.Module):
    """Embeds the batches of a training, which are at the student's size and normalised for the student.

    Args:
        network: from normalised images (N, 3, height, width) to (N, T).
        spec: how images reach `network`.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, spec: TeacherSpec) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self._size = (spec.images.height, spec.images.width)
        self._reversed = spec.channel_order == "BGR"
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.images.mean, spec.images.std))
        own_mean, own_std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        self.register_buffer("scale", own_std / std, persistent=False)
        self.register_buffer("shift", (own_mean - mean) / std, persistent=False)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Embedding of each image plus that of its mirror image.

        Args:
            images: (N, 3, H, W) float32 as `reid.train.images.normalise_batch` gives them, of any size.

        Returns:
            (N, T) float32, each row of length 1.
        """
        if images.shape[2:] != self._size:
            images = F.interpolate(images, self._size, mode="bilinear", antialias=True)
        pixels = images * self.scale + self.shift
        if self._reversed:
            pixels = pixels.flip(1)
        rows = self.network(torch.cat([pixels, pixels.flip(3)])).float().flatten(1)
        plain, mirrored = F.normalize(rows).chunk(2)
        return F.normalize(plain + mirrored)


def torch_network(model: Path, output: str | None, backbone: str | None) -> nn.Module:
    """A teacher's network, on the CPU.

    Args:
        model: as `reid.runtime.teacher.teacher_model` gives it.
        output: name of the embedding where a file has several outputs.
        backbone: of a state dict.

    Raises:
        ConfigError: the file is damaged, or has an operation that has no counterpart in torch.
    """
    if backbone is not None:
        return load_network(model, backbone)
    if model.suffix == ".xml":
        return IrGraph(model, output)
    try:
        loaded = onnx.load(model, load_external_data=False)
        _choose_output(loaded, output)
        _store_constants(loaded)
        return TorchGraph(loaded)
    except Exception as error:  # protobuf's own errors have no common base but this
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"teacher {model} cannot be computed by torch: {reason}; with teacher_view plain ONNX Runtime does it"
        ) from error


def as_function(network: nn.Module, device: torch.device) -> Network:
    """A network on `device` as a function of arrays, in full float32."""
    network = network.to(device).eval()

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        # The shortened floats of tensor cores would make embeddings depend on the machine.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            rows: NDArray[np.float32] = network(torch.from_numpy(images).to(device)).float().cpu().numpy()
        return rows

    return run


def _choose_output(model: onnx.ModelProto, name: str | None) -> None:
    """Make the output that is the embedding the only one."""
    chosen = [output for output in model.graph.output if name in (None, output.name)]
    if not chosen:
        raise ArtifactError(f"it has no output {name!r}")
    del model.graph.output[:]
    model.graph.output.append(chosen[0])


def _store_constants(model: onnx.ModelProto) -> None:
    """Other exporters write constants as nodes where ours writes initializers."""
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        value = attributes_of(node).get("value")
        if isinstance(value, Tensor):
            model.graph.initializer.append(numpy_helper.from_array(value.numpy(), node.output[0]))
            model.graph.node.remove(node)
