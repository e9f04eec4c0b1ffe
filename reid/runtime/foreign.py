"""Networks of others, opened as functions from normalised images to embeddings.

Unlike an artifact, such a file says nothing of what it expects; only names, types and shapes can be checked.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from reid.config import TrialConfig
from reid.errors import ConfigError, ResourceError
from reid.files import read_json
from reid.plugins import may_pass

if TYPE_CHECKING:
    from torch import nn

    from reid.models import ReIDNetwork

__all__ = [
    "OPENVINO_WANTED",
    "Network",
    "Port",
    "as_function",
    "image_input",
    "let_pass",
    "load_network",
    "open_onnx",
    "open_openvino",
    "open_state_dict",
    "options_beside",
    "training_beside",
]

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(N, 3, H, W) float32, normalised, to (N, ...) float32."""


_RUN_CONFIG, _RUN_WEIGHTS = "config.json", "model.safetensors"

OPENVINO_WANTED = "needs OpenVINO, which is not installed; pip install -c constraints.txt -e '.[openvino]'"
"""What to do about a missing library, after the name of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output: its name, type and sizes; None for a size that is free."""

    name: str
    dtype: str
    sizes: tuple[int | None, ...]


def open_onnx(path: Path, size: tuple[int, int], output: str | None, threads: int) -> Network:
    """Open an ONNX file in ONNX Runtime on the CPU.

    Args:
        path: one self-contained file.
        size: (height, width) of the images that it will get.
        output: name of the embedding where there are several outputs.
        threads: >= 1.

    Raises:
        ConfigError: the file is absent, damaged or keeps its weights in other files, or its inputs and outputs do
            not fit.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        # The bytes and not the path: weights in other files would be read, but not be part of the file's hash.
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors have no common base but this
        let_pass(path, error)
        raise ConfigError(f"teacher {path} cannot be opened: {_one_line(error)}") from error
    entry = image_input(path, [_onnx_port(port) for port in session.get_inputs()], size)
    chosen = _embedding_output(path, [_onnx_port(port) for port in session.get_outputs()], output).name

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = session.run([chosen], {entry.name: images})[0]
        return rows

    return _in_batches_of(entry.sizes[0], run)


def open_openvino(path: Path, size: tuple[int, int], output: str | None, threads: int) -> Network:
    """Open an OpenVINO IR on the CPU, in float32 also where the CPU would rather take bfloat16.

    Arguments as for `open_onnx`; the weights lie in the .bin file of the same name.

    Raises:
        ConfigError: OpenVINO is not installed, a file is absent or damaged, or inputs and outputs do not fit.
    """
    try:
        openvino = import_module("openvino")  # here, because it is an extra
    except ImportError as error:
        raise ConfigError(f"teacher {path} {OPENVINO_WANTED}") from error
    _check_ir(path)
    try:
        model = openvino.Core().read_model(path)
        entry = image_input(path, [_openvino_port(port) for port in model.inputs], size)
        ports = [_openvino_port(port) for port in model.outputs]
        number = ports.index(_embedding_output(path, ports, output))
        batch = entry.sizes[0] if entry.sizes[0] is None or not _free_batch(model, size) else None
        # bfloat16, the default on CPUs with AMX, would make embeddings depend on the machine.
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(model, "CPU", settings)
    except RuntimeError as error:
        let_pass(path, error)
        raise ConfigError(f"teacher {path} cannot be opened: {_one_line(error)}") from error

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = compiled(images)[number]
        return rows

    return _in_batches_of(batch, run)


def open_state_dict(
    path: Path, backbone: str, options: Mapping[str, Any] | None = None, device: str = "cpu"
) -> tuple[Network, int]:
    """Load a state dict into one of our networks.

    Args:
        path: a file of tensors.
        backbone: name in `reid.models.BACKBONES`.
        options: of `reid.models.NetworkOptions`; what they leave open is as in the `config.json` beside the weights of
            a RUN folder, else as usual.
        device: of torch, where it computes.

    Returns:
        The network as a function, and the width of its embedding.

    Raises:
        ConfigError: as in `load_network`.
    """
    model = load_network(path, backbone, options)
    return as_function(model, device), model.embedding_dim


def as_function(network: "nn.Module", device: str) -> Network:
    """A torch network as a function of arrays: on `device`, in eval mode and in full float32."""
    import torch  # here, so that opening any other teacher does not need torch

    network = network.to(device).eval()

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        # The shortened floats of tensor cores would make embeddings depend on the machine.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            rows: NDArray[np.float32] = network(torch.from_numpy(images).to(device)).float().cpu().numpy()
        return rows

    return run


def load_network(path: Path, backbone: str, options: Mapping[str, Any] | None = None) -> "ReIDNetwork":
    """One of our networks with the weights of a state dict, in eval mode, on the CPU.

    Arguments as for `open_state_dict`.

    Raises:
        ConfigError: unknown backbone or option, or weights of another backbone, head or pooling; or as in
            `options_beside`.
    """
    from reid.models import NetworkOptions, build_embedder

    given = {**options_beside(path), **(options or {})}
    try:
        return build_embedder(backbone, path, NetworkOptions.from_dict(given)).eval()
    except ConfigError as error:
        raise ConfigError(
            f"teacher {path}: {error}. Set teacher_options to what it was trained with, e.g. {{head: linear}}; the "
            "weights of a RUN folder take theirs from its config.json"
        ) from error


def training_beside(path: Path) -> TrialConfig | None:
    """Settings of the training that left a state dict in its RUN folder; None for any other file.

    Args:
        path: of the state dict.

    Raises:
        ConfigError: the `config.json` beside it is one of ours and cannot be used.
    """
    try:
        noted = read_json(path.with_name(_RUN_CONFIG)) if path.name == _RUN_WEIGHTS else {}
    except (OSError, ValueError):
        return None
    # Others put files of these names beside each other too.
    if not isinstance(noted, Mapping) or not noted.keys() >= {"backbone", "validation_share"}:
        return None
    try:
        return TrialConfig.from_dict(noted)
    except ConfigError as error:
        raise ConfigError(f"{path}: {_RUN_CONFIG} beside it: {error}") from error


def options_beside(path: Path) -> dict[str, Any]:
    """Network options of the training that left a state dict in its RUN folder, those that are not the usual ones.

    A stride or a pooling leaves no entry in the file, so a network built without it would embed otherwise, silently.

    Args:
        path: of the state dict.

    Raises:
        ConfigError: as in `training_beside`.
    """
    from reid.models import NetworkOptions, network_options

    if (config := training_beside(path)) is None:
        return {}
    usual = NetworkOptions()
    values = asdict(network_options(config))
    return {name: value for name, value in values.items() if value != getattr(usual, name)}


def _check_ir(path: Path) -> None:
    """Refuse what OpenVINO would try to read as other formats, with pages of messages."""
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ConfigError(f"teacher {path} lacks its weights; put {weights.name} beside it")
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigError(f"teacher {path} is no OpenVINO IR: {error}") from error
    if root.tag != "net" or root.find("layers") is None:
        raise ConfigError(f"teacher {path} is no OpenVINO IR: it holds no <net> with <layers>")


def _free_batch(model: Any, size: tuple[int, int]) -> bool:
    """Let the model take any number of images; where it cannot, it is left as it was."""
    fixed = model.inputs[0].partial_shape
    try:
        model.reshape([-1, 3, *size])
    except RuntimeError:
        model.reshape(fixed)
        return False
    if all(port.partial_shape[0].is_dynamic for port in model.outputs):
        return True
    model.reshape(fixed)
    return False


def _in_batches_of(batch: int | None, run: Network) -> Network:
    """Serve any number of images with a network that takes exactly `batch`; the last batch is filled up."""
    if batch is None:
        return run

    def padded(images: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            missing = batch - len(part)
            full = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
            parts.append(run(full)[: len(part)])
        return np.concatenate(parts)

    return padded


def image_input(path: Path, ports: Sequence[Port], size: tuple[int, int]) -> Port:
    """The one input of a network, which must take float32 images of the specification's size.

    Args:
        path: of the network, for messages.
        ports: its inputs.
        size: (height, width) of the images that it will get.

    Raises:
        ConfigError: there are several inputs, or it takes something else.
    """
    if len(ports) != 1:
        names = ", ".join(port.name for port in ports)
        raise ConfigError(
            f"teacher {path} has {len(ports)} inputs ({names}); one that takes images is wanted"
        )
    port, wanted = ports[0], (3, *size)
    fits = len(port.sizes) == 4 and all(
        found in (None, want) for found, want in zip(port.sizes[1:], wanted, strict=True)
    )
    if not fits or port.dtype != "float32":
        raise ConfigError(
            f"teacher {path} takes {port.dtype} {_shown(port.sizes)}, but its specification says "
            f"float32 {_shown((None, *wanted))}; correct teacher_spec"
        )
    return port


def _embedding_output(path: Path, ports: Sequence[Port], name: str | None) -> Port:
    names = [port.name for port in ports]
    if name is None and len(ports) != 1:
        raise ConfigError(
            f"teacher {path} has several outputs ({', '.join(names)}); name one by the key output of teacher_spec"
        )
    if name is not None and name not in names:
        raise ConfigError(f"teacher {path} has no output {name!r}; known: {', '.join(names)}")
    return ports[0] if name is None else ports[names.index(name)]


def _onnx_port(port: Any) -> Port:
    sizes = tuple(size if isinstance(size, int) and size > 0 else None for size in port.shape)
    dtype = port.type.removeprefix("tensor(").removesuffix(")")
    return Port(name=port.name, dtype="float32" if dtype == "float" else dtype, sizes=sizes)


def _openvino_port(port: Any) -> Port:
    shape = port.partial_shape
    sizes = () if shape.rank.is_dynamic else tuple(None if d.is_dynamic else d.get_length() for d in shape)
    name = sorted(port.names)[0] if port.names else port.node.friendly_name
    return Port(name=name, dtype=port.element_type.to_dtype().name, sizes=sizes)


def _shown(sizes: Sequence[int | None]) -> str:
    return "x".join("N" if size is None else str(size) for size in sizes)


def let_pass(path: Path, error: Exception) -> None:
    """Raise anew what lies in the machine and not in the file: a ConfigError would be remembered.

    Raises:
        ResourceError: disk, network or memory failed.
    """
    if may_pass(error):
        raise ResourceError(f"teacher {path} cannot be opened now: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or os.strerror(error.errno or 0)
    return " ".join(str(error).split())
