"""TorchScript: the contract in both engines, integers as ONNX Runtime computes them, and the file."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from reid.config import Target
from reid.errors import ConfigError, NoDevice, UnverifiedError
from reid.export import Artifact
from reid.runtime import SCRIPT_FILES, demand_usable, open_artifact
from reid.runtime.convert import convert
from reid.runtime.torchscript import ENGINES, script, settings
from tests.contract.deployment import people, tiny_artifact
from tests.contract.runtime import RuntimeContract


@pytest.mark.skipif("x86" not in torch.backends.quantized.supported_engines, reason="torch without x86")
class TestTorchScript(RuntimeContract):
    target = Target(runtime="torchscript")


@pytest.mark.skipif(
    "qnnpack" not in torch.backends.quantized.supported_engines, reason="torch without qnnpack"
)
class TestTorchScriptQnnpack(RuntimeContract):
    target = Target(runtime="torchscript-qnnpack", threads=2)


@pytest.mark.parametrize("runtime", sorted(ENGINES))
def test_integers_are_those_of_onnx_runtime(int8: Artifact, runtime: str) -> None:
    images = people(9, 64, 32, seed=5)
    found, expected = (
        open_artifact(int8.path, Target(runtime=name)).embed(images) for name in (runtime, "onnxruntime")
    )
    assert (found * expected).sum(axis=1).min() > 0.998


def test_convolutions_between_integers_are_integer_kernels(int8: Artifact) -> None:
    graph = str(script(int8.path.read_bytes(), (64, 32), "x86").graph)
    quantized = [graph.count(f"quantized::{name}(") for name in ("conv2d", "conv2d_relu", "add", "add_relu")]
    # The last block's sum stays float, for the pooling that follows.
    assert quantized[0] + quantized[1] == 20
    assert quantized[2] + quantized[3] == 7
    assert "aten::_convolution" not in graph
    assert "aten::conv2d" not in graph
    assert graph.count("aten::quantize_per_tensor") <= 2


@pytest.mark.filterwarnings("ignore:`torch.jit.load`:DeprecationWarning")
@pytest.mark.parametrize("runtime", sorted(ENGINES))
def test_the_file_gives_what_the_runtime_gives_for_any_number_of_images(int8: Artifact, runtime: str) -> None:
    content = convert(int8.path, runtime)[SCRIPT_FILES[runtime]]
    opened = open_artifact(int8.path, Target(runtime=runtime))
    images = people(5, 64, 32, seed=6)
    with settings(ENGINES[runtime], 1):
        network = torch.jit.load(io.BytesIO(content))
        rows = network(torch.from_numpy(opened.spec.normalise(images))).numpy()
    np.testing.assert_allclose(rows, opened.embed(images), atol=1e-6)


def test_settings_of_the_process_are_put_back(int8: Artifact) -> None:
    before = torch.backends.quantized.engine, torch.get_num_threads()
    run = open_artifact(int8.path, Target(runtime="torchscript-qnnpack", threads=3)).timer()
    run()
    assert (torch.backends.quantized.engine, torch.get_num_threads()) == before


def test_an_engine_that_torch_lacks_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "torchscript-qnnpack", "tpu")
    with pytest.raises(NoDevice, match=r"this torch lacks the engine tpu; it has .*qnnpack"):
        demand_usable(Target(runtime="torchscript-qnnpack"))


def test_an_operator_without_a_counterpart_is_named(tmp_path: Path) -> None:
    artifact = tiny_artifact(tmp_path)
    model = onnx.load(artifact.path)
    node = next(node for node in model.graph.node if node.op_type == "Sigmoid")
    node.op_type = "Softplus"
    artifact.path.write_bytes(model.SerializeToString())
    with pytest.raises(
        UnverifiedError, match=r"torchscript cannot open .*the operator Softplus has no counterpart"
    ):
        open_artifact(artifact.path, Target(runtime="torchscript"))


def _cut_a_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] += 1


def _forget_inputs(model: onnx.ModelProto) -> None:
    del model.graph.node[3].input[:]


def _forget_outputs(model: onnx.ModelProto) -> None:
    del model.graph.node[3].output[:]


@pytest.mark.parametrize("damage", [_cut_a_tensor, _forget_inputs, _forget_outputs])
@pytest.mark.parametrize("runtime", ["torchscript", "executorch"])
def test_a_damaged_graph_is_refused(
    damage: Callable[[onnx.ModelProto], None], runtime: str, tmp_path: Path
) -> None:
    if runtime == "executorch":
        pytest.importorskip("executorch", reason="executorch is not installed (an extra)")
    artifact = tiny_artifact(tmp_path)
    model = onnx.load(artifact.path)
    damage(model)
    artifact.path.write_bytes(model.SerializeToString())
    with pytest.raises(UnverifiedError, match=f"{runtime} cannot open"):
        open_artifact(artifact.path, Target(runtime=runtime))


def test_halved_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave --fp16 out"):
        convert(tiny_artifact(tmp_path).path, "torchscript", half=True)
