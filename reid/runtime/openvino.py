"""OpenVINO on CPUs: our ONNX artifacts, and the IR made from them.

OpenVINO is an extra (`pip install openvino`) and imported when a target names it.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.config import Target
from reid.errors import ArtifactError, NoDevice, UnverifiedError
from reid.export.metadata import read_metadata
from reid.export.spec import InputSpec
from reid.runtime.base import Opened, demand_cpu
from reid.runtime.inspection import inspect

__all__ = ["IR_FILES", "IR_KEYS", "OpenVinoRuntime", "compile_graph", "demand_openvino", "load_openvino"]

IR_FILES = ("model.xml", "model.bin")
"""Graph and weights of an IR inside a package."""

IR_KEYS = {"reid_pareto.input_spec": "input_spec", "reid_pareto.scheme": "scheme"}
"""Keys of an artifact's metadata -> their names below "reid_pareto" in the runtime information of an IR."""

_MAX_BYTES = 2**31
_HINTS = {"bf16": "bf16"}


class OpenVinoRuntime(Opened):
    """An ONNX artifact or our IR of one on a CPU, with a fixed number of threads, in the file's own arithmetic.

    OpenVINO would run fp32 networks in bfloat16 where the processor has it, which is another network than the one
    that was evaluated (cosine 0.9998 instead of 1.0 for OSNet x0.25); fp32 is therefore asked for, and bfloat16 for
    files of that scheme only. int8 stays int8.
    """

    def __init__(self, path: Path, target: Target) -> None:
        """Open `path`, an .onnx file or the .xml of an IR with its .bin beside it.

        Raises:
            NoDevice: the target is no CPU, or openvino is not installed.
            ArtifactError: as in `inspect`; also if OpenVINO refuses the graph.
        """
        demand_openvino(target)
        openvino = load_openvino()
        if path.suffix == ".xml":
            model = _read_ir(openvino, path)
            spec, scheme = _ir_metadata(model, path)
        else:
            inspected = inspect(path)
            model = _read(openvino, path, inspected.content)
            spec, scheme = inspected.spec, inspected.scheme
        super().__init__(spec, scheme, target.batch)
        _check_signature(model, spec, path)
        self._compiled = _compile(openvino, model, path, target.threads, _HINTS.get(scheme, "f32"))
        self._request = self._compiled.create_infer_request()

    def timer(self) -> Callable[[], None]:
        """A call that runs the target's batch once, on fixed random input that is normalised beforehand."""
        inputs = self._timed_inputs()
        # A request that shares its input's memory is bound to that size, so it serves nothing else.
        request = self._compiled.create_infer_request()

        def run() -> None:
            for batch in inputs:
                request.infer({0: batch}, share_inputs=True)

        return run

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        # A copy: the next call overwrites the request's own memory.
        found = self._request.infer({0: batch})[self._request.model_outputs[0]]
        return np.array(found, dtype=np.float32)


def load_openvino() -> ModuleType:
    """The openvino package.

    Raises:
        NoDevice: it is not installed, or does not load here.
    """
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise NoDevice(f"the target openvino needs its package: pip install openvino ({error})") from error


def demand_openvino(target: Target) -> None:
    """Refuse a target that OpenVINO cannot serve here.

    Raises:
        NoDevice: the target is no CPU, or openvino is not installed.
    """
    demand_cpu(target)
    load_openvino()


def compile_graph(content: bytes, threads: int) -> Any:
    """Any ONNX graph, compiled in float32.

    Raises:
        NoDevice: openvino is not installed.
        ArtifactError: OpenVINO refuses the graph.
    """
    openvino, nowhere = load_openvino(), Path("a graph in memory")
    return _compile(openvino, _read(openvino, nowhere, content), nowhere, threads, "f32")


def _read_ir(openvino: ModuleType, path: Path) -> Any:
    return _read(openvino, path, _content(path), _content(path.with_suffix(".bin")))


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UnverifiedError(f"{path} has more than {_MAX_BYTES} bytes; refused")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error


def _read(openvino: ModuleType, path: Path, content: bytes, weights: bytes | None = None) -> Any:
    core = openvino.Core()
    try:
        if weights is None:
            return core.read_model(content)
        return core.read_model(content, openvino.Tensor(np.frombuffer(weights, dtype=np.uint8)))
    except Exception as error:  # OpenVINO's own errors have no common base but this
        raise _refused(path, error) from error


def _compile(openvino: ModuleType, model: Any, path: Path, threads: int, precision: str) -> Any:
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        # Its worker and the calling thread hand over at every run; a worker bound to a busy core waits each time.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        return openvino.Core().compile_model(model, "CPU", settings)
    except Exception as error:  # as above
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> UnverifiedError:
    return UnverifiedError(f"openvino cannot open {path}: {' '.join(str(error).split())[-300:]}")


def _ir_metadata(model: Any, path: Path) -> tuple[InputSpec, str]:
    found = {}
    for key, name in IR_KEYS.items():
        place = ["reid_pareto", name]
        if model.has_rt_info(place):
            found[key] = str(model.get_rt_info(place).astype(str))
    return read_metadata(found, str(path))


def _check_signature(model: Any, spec: InputSpec, path: Path) -> None:
    wanted = [("images", [3, spec.height, spec.width]), ("embedding", [spec.embedding_dim])]
    found = [_signature(port) for port in (*model.inputs, *model.outputs)]
    if found != wanted:
        raise UnverifiedError(f"{path} has inputs and outputs {found}, its input specification says {wanted}")


def _signature(port: Any) -> tuple[str, list[int]]:
    """A name and the shape without the number of images; no shape where that is fixed or the type not float32."""
    shape = list(port.get_partial_shape())
    name = min(port.get_names(), default="")
    known = shape and not shape[0].is_static and all(side.is_static for side in shape[1:])
    if port.get_element_type().get_type_name() != "f32" or not known:
        return name, []
    return name, [side.get_length() for side in shape[1:]]
