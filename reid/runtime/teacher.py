"""Teachers: networks of any origin whose embeddings a smaller network is trained to follow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reid.errors import ArtifactError, ConfigError
from reid.export.artifact import MODEL_FILE
from reid.plugins import is_dotted_path, load_function
from reid.runtime.base import unit_length
from reid.runtime.foreign import Network, as_function, load_network, open_onnx, open_openvino, open_state_dict
from reid.runtime.inspection import inspect
from reid.runtime.teacher_spec import TEACHER_SPECS, TeacherSpec, find_spec, own_spec

if TYPE_CHECKING:
    from reid.runtime.torch_teacher import TorchTeacher

__all__ = [
    "Teacher",
    "check_teacher_file",
    "live_teacher",
    "open_teacher",
    "teacher_files",
    "teacher_model",
]

# The last as others name a training's checkpoint: model.pth.tar, model.pth.tar-60.
_STATE_DICT = re.compile(r"\.(pth|pt|safetensors|pth\.tar(-\d+)?)$")
_KNOWN = (".onnx", ".xml", ".pth", ".pt", ".safetensors", ".pth.tar")
_DEFAULT_SIZE = (256, 128)
_IR_FILE = "model.xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """A network, opened, and what it expects of an image.

    Attributes:
        spec: how images reach the network.
        network: (N, 3, height, width) float32 as `spec.normalise` gives it, to (N, T).
        name: of its file, for messages.
    """

    spec: TeacherSpec
    network: Network
    name: str

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the images that `embed` takes."""
        return self.spec.images.height, self.spec.images.width

    def embed(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Embeddings of decoded images; with `flip` in the specification those of the mirror images are added.

        Args:
            images: (N, height, width, 3) uint8, RGB, at the size of `spec`.

        Returns:
            (N, T) float32, each row of length 1.

        Raises:
            ConfigError: floats or another size; or the network gives another width than the specification says,
                or no finite numbers.
        """
        total = np.zeros((len(images), self.spec.images.embedding_dim), dtype=np.float32)
        self.spec.images.check(images)
        for view in self.spec.images.views(images) if len(images) else ():
            total += unit_length(self._rows(view))
        return unit_length(total)

    def _rows(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = self.network(self.spec.normalise(images)).astype(np.float32, copy=False)
        wanted = (len(images), self.spec.images.embedding_dim)
        if len(rows) != wanted[0] or rows.size != wanted[0] * wanted[1]:
            raise ConfigError(
                f"teacher {self.name} gives {rows.shape} for {wanted[0]} images, its specification says {wanted}; "
                "correct embedding_dim or output of teacher_spec"
            )
        if not np.isfinite(rows).all():
            raise ConfigError(f"teacher {self.name} gives NaN or infinite numbers; correct its mean and std")
        return rows.reshape(wanted)


def open_teacher(
    path: str | Path,
    *,
    spec: str | None = None,
    backbone: str | None = None,
    options: Mapping[str, Any] | None = None,
    threads: int = 1,
    device: str = "cpu",
) -> Teacher:
    """Open a teacher.

    Args:
        path: an ONNX file, an OpenVINO IR (.xml with its .bin), a package or RUN folder of ours, or a state dict
            (.pth, .pt, .safetensors, .pth.tar-60).
        spec: name in `TEACHER_SPECS` or path of a specification. None takes `MODEL.input_spec.json` beside the
            file, else what an ONNX file of ours carries; a state dict is then read as 256x128, RGB, with ImageNet's
            mean and std.
        backbone: name in `reid.models.BACKBONES`, for a state dict only.
        options: of its `reid.models.NetworkOptions`, likewise; what they leave open is as in its RUN folder, or usual.
        threads: of one inference on the CPU, >= 1; a state dict runs with those of torch.
        device: "cpu", or "cuda" for torch on a GPU; what torch cannot compute runs on the CPU all the same. Torch
            computes an OpenVINO IR on the CPU too where OpenVINO is not installed, only slower.

    Raises:
        ConfigError: the file is absent, damaged, of an unknown kind, lacks a specification or contradicts it; a
            state dict without backbone, or backbone or options for anything else.
    """
    model = teacher_files(path)[0]
    _check_backbone(model, backbone, options)
    found = find_spec(model, spec)
    if backbone is not None:
        network, width = open_state_dict(model, backbone, options, device)
        return Teacher(spec=found or own_spec(*_DEFAULT_SIZE, width), network=network, name=str(model))
    found = _demand_spec(model, found)
    if device != "cpu" or (model.suffix == ".xml" and not _has_openvino()):
        opened = _in_torch(model, found, device)
        if opened is not None:
            return Teacher(spec=found, network=opened, name=str(model))
    size = (found.images.height, found.images.width)
    opener = open_onnx if model.suffix == ".onnx" else open_openvino
    return Teacher(spec=found, network=opener(model, size, found.output, threads), name=str(model))


def live_teacher(
    path: str | Path,
    *,
    spec: str | None = None,
    backbone: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> "TorchTeacher":
    """A teacher that embeds the student's own batches, on the CPU; `to` moves it.

    Arguments as for `open_teacher`.

    Raises:
        ConfigError: as there, or torch cannot compute the network.
    """
    from reid.runtime.torch_teacher import TorchTeacher, torch_network

    model = teacher_files(path)[0]
    _check_backbone(model, backbone, options)
    found = find_spec(model, spec)
    if backbone is not None:
        network = load_network(model, backbone, options)
        return TorchTeacher(network, found or own_spec(*_DEFAULT_SIZE, network.embedding_dim))
    found = _demand_spec(model, found)
    return TorchTeacher(torch_network(model, found), found)


def check_teacher_file(
    path: str | Path,
    *,
    spec: str | None = None,
    backbone: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Refuse what `open_teacher` would, as far as that shows without opening the network.

    Raises:
        ConfigError: as in `open_teacher`.
    """
    model = teacher_files(path)[0]
    _check_backbone(model, backbone, options)
    found = find_spec(model, spec)
    if backbone is None:
        _demand_spec(model, found)
    if model.suffix == ".xml" and not _has_openvino():
        live_teacher(path, spec=spec)


def teacher_model(path: str | Path) -> Path:
    """The file that holds the network, e.g. `model.onnx` of a package.

    Raises:
        ConfigError: it is absent, or of no known kind.
    """
    path = Path(path)
    if path.is_dir():
        files = [path / name for name in (MODEL_FILE, _IR_FILE) if (path / name).is_file()]
        if not files:
            raise ConfigError(f"teacher {path} is a folder without {MODEL_FILE} or {_IR_FILE}; name the file")
        return files[0]
    if not path.is_file():
        raise ConfigError(f"teacher {path} does not exist; give a file or a package")
    if path.suffix not in _KNOWN and not _is_state_dict(path):
        raise ConfigError(f"teacher {path} is of no known kind; known: {', '.join(_KNOWN)}, or a package")
    return path


def teacher_files(path: str | Path) -> tuple[Path, ...]:
    """Every file whose content decides what the teacher computes.

    Raises:
        ConfigError: as in `teacher_model`, or the weights of an OpenVINO IR are absent.
    """
    model = teacher_model(path)
    if model.suffix != ".xml":
        return (model,)
    weights = model.with_suffix(".bin")
    if not weights.is_file():
        raise ConfigError(f"teacher {model} lacks its weights; put {weights.name} beside it")
    return model, weights


_SPEC_WANTED = (
    "a network of others needs an input specification; set teacher_spec to a file or one of: "
    + ", ".join(TEACHER_SPECS)
)


def _demand_spec(model: Path, found: TeacherSpec | None) -> TeacherSpec:
    if found is None and model.suffix == ".onnx":
        return _inspect_own(model)
    if found is None:
        raise ConfigError(f"teacher {model}: {_SPEC_WANTED}")
    return found


def _has_openvino() -> bool:
    return find_module("openvino") is not None


def _in_torch(model: Path, spec: TeacherSpec, device: str) -> Network | None:
    from reid.runtime.torch_teacher import torch_network  # here, as most teachers need no torch

    try:
        return as_function(torch_network(model, spec), device)
    except ConfigError:
        if model.suffix == ".xml" and not _has_openvino():
            raise
        return None  # a runtime of the CPU opens it, or says what is wrong with it


def _is_state_dict(model: Path) -> bool:
    return _STATE_DICT.search(model.name) is not None


def _check_backbone(model: Path, backbone: str | None, options: Mapping[str, Any] | None) -> None:
    if not _is_state_dict(model):
        for name, value in (("teacher_backbone", backbone), ("teacher_options", options)):
            if value is not None:
                raise ConfigError(f"{name} is for state dicts, {model} needs none; leave it out")
        return
    if backbone is None:
        raise ConfigError(f"teacher {model} is a state dict; set teacher_backbone to the name of its network")
    # Here, so that opening any other teacher does not need torch.
    from reid.models import NetworkOptions, demand_backbone

    demand_backbone(backbone, "teacher_backbone")
    if is_dotted_path(backbone):
        load_function(backbone, "teacher_backbone")
    try:
        NetworkOptions.from_dict(options or {}).demand_offered(backbone)
    except ConfigError as error:
        raise ConfigError(f"teacher_options: {error}") from error


def _inspect_own(model: Path) -> TeacherSpec:
    try:
        return TeacherSpec(images=inspect(model).spec)
    except ArtifactError as error:
        raise ConfigError(f"teacher {error}; {_SPEC_WANTED}") from error
