"""Teachers as torch modules: beside the student on its device, seeing the very pixels that the student sees."""

import copy
from collections.abc import Callable
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

from reid.data.normalize import MEAN, STD
from reid.errors import ConfigError
from reid.runtime.foreign import Network, image_input, let_pass, open_onnx, open_openvino
from reid.runtime.ir import IrGraph
from reid.runtime.operators import attributes_of
from reid.runtime.parity import LEAST_COSINE
from reid.runtime.teacher_spec import TeacherSpec
from reid.runtime.torch_graph import TorchGraph

__all__ = ["TorchTeacher", "torch_network"]

_Graph = TypeVar("_Graph", bound=nn.Module)


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


def torch_network(model: Path, spec: TeacherSpec) -> nn.Module:
    """A teacher's network out of an ONNX file or an OpenVINO IR, on the CPU, proven to embed as its runtime does.

    An IR is compared where OpenVINO is installed; else only shape and finiteness are looked at.

    Args:
        model: as `reid.runtime.teacher.teacher_model` gives it.
        spec: what it is given, and the name of its output.

    Raises:
        ConfigError: the file is damaged or contradicts its specification, or torch cannot compute it.
    """
    size = (spec.images.height, spec.images.width)
    runtime: Network | None = None
    if model.suffix == ".onnx":
        runtime = open_onnx(model, size, spec.output, 1)
        network: nn.Module = _read(model, lambda: _of_onnx(model, spec.output))
    else:
        if find_module("openvino") is not None:
            runtime = open_openvino(model, size, spec.output, 1)
        network = graph = _read(model, lambda: IrGraph(model, spec.output))
        image_input(model, graph.ports, size)
    _prove(network.eval(), model, spec, runtime)
    return network


def _of_onnx(model: Path, output: str | None) -> TorchGraph:
    loaded = onnx.load(model)
    chosen = [port for port in loaded.graph.output if output in (None, port.name)]
    del loaded.graph.output[:]
    loaded.graph.output.extend(chosen)
    # Other exporters write constants as nodes where ours writes initializers.
    for node in [node for node in loaded.graph.node if node.op_type == "Constant"]:
        value = attributes_of(node).get("value")
        if isinstance(value, Tensor):
            loaded.graph.initializer.append(numpy_helper.from_array(value.numpy(), node.output[0]))
            loaded.graph.node.remove(node)
    return TorchGraph(loaded)


def _read(model: Path, read: Callable[[], _Graph]) -> _Graph:
    try:
        return read()
    except ConfigError:
        raise
    except Exception as error:  # whatever a form that only other exporters write leads to
        let_pass(model, error)
        raise _refused(model, error) from error


def _prove(network: nn.Module, model: Path, spec: TeacherSpec, runtime: Network | None) -> None:
    """Let torch embed two images: operators of others may be of a form that torch lacks, or mean something else."""
    shape = (2, spec.images.height, spec.images.width, 3)
    planes = spec.normalise(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    try:
        with torch.inference_mode():
            rows = network(torch.from_numpy(planes)).float().flatten(1).numpy()
            # A device without memory: constants that stay on the CPU must not meet images that do not.
            copy.deepcopy(network).to("meta")(torch.empty(planes.shape, device="meta"))
    except Exception as error:  # whatever the first operator that does not fit leads to
        let_pass(model, error)
        raise _refused(model, error) from error
    if rows.shape != (2, spec.images.embedding_dim) or not np.isfinite(rows).all():
        raise _refused(model, f"it gives {rows.shape} for 2 images, or no finite numbers")
    if runtime is not None:
        wanted = runtime(planes).reshape(len(planes), -1)
        if wanted.shape != rows.shape:
            raise _refused(model, f"it gives {rows.shape}, its runtime {wanted.shape}")
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted, axis=1)
        cosine = float(((rows * wanted).sum(axis=1) / np.maximum(lengths, 1e-12)).min())
        if not cosine >= LEAST_COSINE:
            raise _refused(
                model, f"it embeds otherwise than the runtime of such files, smallest cosine {cosine:.4f}"
            )


def _refused(model: Path, reason: object) -> ConfigError:
    text = " ".join(str(reason).split())
    mend = "leave teacher_view at plain"
    if model.suffix == ".xml" and find_module("openvino") is None:
        mend += " and install OpenVINO: pip install -c constraints.txt -e '.[openvino]'"
    return ConfigError(f"teacher {model} cannot be computed by torch ({text}); {mend}")
