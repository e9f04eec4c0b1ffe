import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from reid.config import Target
from reid.errors import ConfigError, NoDevice, UnverifiedError
from reid.export import Artifact
from reid.runtime import RUNTIMES, open_artifact
from reid.runtime.onnxruntime import OnnxRuntime
from reid.runtime.openvino import OpenVinoRuntime
from tests.contract.deployment import tiny_artifact
from tests.contract.runtime import RuntimeContract


class TestOnnxRuntime(RuntimeContract):
    target = Target(runtime="onnxruntime")


class TestOnnxRuntimeWithThreads(RuntimeContract):
    target = Target(runtime="onnxruntime", threads=2)


class _Sessions:
    """Stands in for ONNX Runtime's sessions: keeps what it was opened with and the batches it ran."""

    def __init__(self) -> None:
        self.options = onnxruntime.SessionOptions()
        self.batches: list[int] = []
        self._real = onnxruntime.InferenceSession

    def __call__(
        self, content: bytes, options: onnxruntime.SessionOptions, providers: list[str]
    ) -> "_Sessions":
        self.options = options
        self._session = self._real(content, options, providers=providers)
        return self

    def note_providers(
        self, content: bytes, options: onnxruntime.SessionOptions, providers: list[str]
    ) -> None:
        self.providers = providers
        raise RuntimeError("no such device")

    def run(self, outputs: list[str], inputs: dict[str, object]) -> object:
        self.batches.append(len(inputs["images"]))
        return self._session.run(outputs, inputs)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> _Sessions:
    recording = _Sessions()
    monkeypatch.setattr(onnxruntime, "InferenceSession", recording)
    return recording


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return tiny_artifact(tmp_path)


def test_threads_are_fixed_and_do_not_spin(artifact: Artifact, sessions: _Sessions) -> None:
    open_artifact(artifact.path, Target(threads=2))
    options = sessions.options
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize("flip", [False, True])
def test_timer_runs_the_targets_batch(tmp_path: Path, sessions: _Sessions, flip: bool) -> None:
    run = open_artifact(tiny_artifact(tmp_path, flip=flip).path, Target(batch=7)).timer()
    assert sessions.batches == []
    run()
    assert sessions.batches == ([7, 7] if flip else [7])


def test_device_other_than_cpu_is_refused(artifact: Artifact) -> None:
    with pytest.raises(NoDevice, match=r"target\.device 'cuda:0'.*set device cpu"):
        open_artifact(artifact.path, Target(device="cuda:0"))


def test_unknown_runtime_lists_the_known(artifact: Artifact) -> None:
    with pytest.raises(ConfigError, match=r"did you mean onnxruntime\?.*known: .*onnxruntime, openvino"):
        open_artifact(artifact.path, Target(runtime="onnxruntimes"))


def test_refusal_of_onnx_runtime_is_one_line(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED\nno kernel\n")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(UnverifiedError, match=r"cannot open .*model\.onnx: .*NOT_IMPLEMENTED no kernel$"):
        open_artifact(artifact.path, Target())


def test_registry_names_the_class() -> None:
    assert (RUNTIMES["onnxruntime"].open, RUNTIMES["openvino"].open) == (OnnxRuntime, OpenVinoRuntime)


def test_a_gpu_is_used_where_onnx_runtime_has_kernels_for_it(
    artifact: Artifact, sessions: _Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(_Sessions, "__call__", _Sessions.note_providers)
    with pytest.raises(UnverifiedError):
        open_artifact(artifact.path, Target(device="cuda:1"))
    assert sessions.providers == [("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "torchscript", "torchscript-qnnpack"])
def test_an_artifact_opens_without_the_code_that_trained_it(artifact: Artifact, runtime: str) -> None:
    code = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from reid.config import Target\nfrom reid.runtime import open_artifact\n"
        f"opened = open_artifact(Path({str(artifact.path)!r}), Target(runtime={runtime!r}))\n"
        "spec = opened.spec\n"
        "rows = opened.embed(np.zeros((2, spec.height, spec.width, 3), dtype=np.uint8))\n"
        "assert rows.shape == (2, spec.embedding_dim)\n"
        "foreign = {'reid.train', 'reid.prune', 'reid.models', 'reid.losses', 'reid.quantize', 'torchvision'}\n"
        "loaded = foreign & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        f"assert ('torch' in sys.modules) == ({runtime!r} != 'onnxruntime'), 'torch'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
