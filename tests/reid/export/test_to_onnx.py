import copy
import json
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from reid.errors import ArtifactError, ConfigError
from reid.export import InputSpec, export_onnx
from reid.files import sha256_of
from reid.models import build
from tests.contract.deployment import (
    SPEC,
    TinyNetwork,
    people,
    randomise_batch_norm,
    tiny_artifact,
    tiny_network,
    torch_embeddings,
)


def run(path: Path, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    embeddings: np.ndarray = session.run(["embedding"], {"images": images})[0]
    return embeddings


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return tiny_artifact(tmp_path).path


def batch_norms_after_weights(graph: onnx.GraphProto) -> list[str]:
    producer = {name: node for node in graph.node for name in node.output}
    return [
        node.name
        for node in graph.node
        if node.op_type == "BatchNormalization"
        and getattr(producer.get(node.input[0]), "op_type", "") in ("Conv", "Gemm")
    ]


@pytest.mark.parametrize("count", [1, 2, 17])
def test_any_number_of_images(exported: Path, count: int) -> None:
    images = people(count)
    expected = torch_embeddings(tiny_network(), images)
    np.testing.assert_allclose(run(exported, SPEC.normalise(images)), expected, atol=1e-5)


def test_zero_embedding_is_zero_not_nan(tmp_path: Path) -> None:
    network = tiny_network()
    nn.init.zeros_(network.head[1].weight)
    nn.init.zeros_(network.head[1].bias)
    path = export_onnx(network, SPEC, tmp_path / "zero.onnx").path
    np.testing.assert_array_equal(run(path, SPEC.normalise(people(2))), 0)


def test_batch_normalisation_is_folded_and_the_norm_comes_last(exported: Path) -> None:
    graph = onnx.load(exported).graph
    kinds = Counter(node.op_type for node in graph.node)
    assert kinds["BatchNormalization"] == 0
    assert [node.op_type for node in graph.node][-3:] == ["ReduceL2", "Clip", "Div"]
    assert kinds["Shape"] == kinds["Expand"] == 0


def test_describes_itself(exported: Path) -> None:
    model = onnx.load(exported)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert InputSpec.from_dict(json.loads(metadata.pop("reid_pareto.input_spec"))) == SPEC
    assert metadata == {"reid_pareto.scheme": "fp32", "reid_pareto.version": version("reid-pareto")}
    assert (model.producer_name, model.producer_version) == ("reid-pareto", version("reid-pareto"))


def test_artifact_describes_the_file(tmp_path: Path) -> None:
    artifact = tiny_artifact(tmp_path)
    assert (artifact.format, artifact.scheme, artifact.spec) == ("onnx", "fp32", SPEC)
    assert artifact.size_bytes == artifact.path.stat().st_size
    assert artifact.sha256 == sha256_of(artifact.path)


def test_equal_weights_give_equal_bytes(tmp_path: Path, exported: Path) -> None:
    again = export_onnx(tiny_network(), SPEC, tmp_path / "again.onnx")
    assert again.path.read_bytes() == exported.read_bytes()
    other = export_onnx(tiny_network(seed=1), SPEC, tmp_path / "other.onnx")
    assert other.sha256 != again.sha256


def test_names_nothing_of_this_machine(exported: Path) -> None:
    content = exported.read_bytes()
    for trace in (str(Path(__file__).parents[3]), str(Path.home()), sys.prefix, "site-packages", ".py"):
        assert trace.encode() not in content, trace


def test_leaves_the_network_as_it_is(tmp_path: Path) -> None:
    network = TinyNetwork().train()
    before = copy.deepcopy(network.state_dict())
    export_onnx(network, SPEC, tmp_path / "x.onnx")
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_embedding_of_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="embedding_dim is 24, but the network's embedding is 8 wide"):
        export_onnx(TinyNetwork(embedding_dim=8), SPEC, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_what_onnx_cannot_express_is_an_artifact_error(tmp_path: Path) -> None:
    class Fickle(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            pooled = images.mean(dim=(2, 3))
            return pooled if pooled.sum() > 0 else -pooled

    with pytest.raises(ArtifactError, match=r"^cannot export Fickle: [^\n]+$"):
        export_onnx(Fickle(), SPEC, tmp_path / "x.onnx")


def test_resnet18_is_convolutions_and_a_neck(tmp_path: Path) -> None:
    network = build("resnet18", 4)
    randomise_batch_norm(network)
    spec = InputSpec(height=64, width=32, mean=SPEC.mean, std=SPEC.std, embedding_dim=512)
    artifact = export_onnx(network, spec, tmp_path / "resnet18.onnx")
    graph = onnx.load(artifact.path).graph
    assert Counter(node.op_type for node in graph.node)["Conv"] == 20
    assert not batch_norms_after_weights(graph)
    images = people(2, 64, 32)
    expected = torch_embeddings(network.eval(), images, spec)
    np.testing.assert_allclose(run(artifact.path, spec.normalise(images)), expected, atol=1e-5)


def test_reading_an_artifact_needs_no_torch() -> None:
    code = "import sys, reid.export, reid.runtime; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
