from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from reid.config import Target
from reid.export import InputSpec, export_onnx
from reid.models import build
from reid.quantize.equalize import equalize
from reid.quantize.ranges import calibrate_file
from reid.quantize.schemes import write_quantized
from reid.quantize.settings import PLAIN, QuantizationSettings
from reid.runtime import open_artifact
from tests.contract.deployment import SPEC, people, randomise_batch_norm
from tests.reid.quantize.graphs import chain_with_gate


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


def test_only_pairs_whose_values_go_nowhere_else_are_levelled() -> None:
    model = chain_with_gate()
    # The first convolution has two readers, the last but one is a product: no pair.
    assert equalize(model) == 0
    assert model == chain_with_gate()


@pytest.mark.parametrize("backbone", ["resnet18", "osnet_x0_25", "mobilenet_v2"])
def test_embeddings_stay(tmp_path: Path, backbone: str) -> None:
    network = build(backbone, 4)
    randomise_batch_norm(network)
    # Channels of very different size, as pruning and decay leave them.
    for name, value in network.named_parameters():
        if name.endswith("weight") and value.ndim == 4 and "bn" not in name:
            value.data *= np.random.default_rng(len(name)).choice([0.2, 1, 5])
    spec = InputSpec(height=64, width=32, mean=SPEC.mean, std=SPEC.std, embedding_dim=network.embedding_dim)
    artifact = export_onnx(network.eval(), spec, tmp_path / "float.onnx")
    model = onnx.load(artifact.path)
    images = spec.normalise(people(4, 64, 32))
    before = run(model, images)
    pairs = equalize(model)
    # MobileNetV2's activations end at 6, which no factor may move; two linear layers remain.
    assert pairs == {"resnet18": 8, "osnet_x0_25": 96, "mobilenet_v2": 2}[backbone]
    np.testing.assert_allclose(run(model, images), before, atol=1e-4)


def test_ranges_of_a_pair_become_equal(tmp_path: Path) -> None:
    network = build("resnet18", 4)
    randomise_batch_norm(network)
    spec = InputSpec(height=64, width=32, mean=SPEC.mean, std=SPEC.std, embedding_dim=network.embedding_dim)
    model = onnx.load(export_onnx(network.eval(), spec, tmp_path / "float.onnx").path)
    equalize(model)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    first, second = (weights[f"network.layer1.0.conv{number}.weight"] for number in (1, 2))
    rows = np.abs(first).reshape(len(first), -1).max(axis=1)
    columns = np.abs(second).max(axis=(0, 2, 3))
    np.testing.assert_allclose(rows, columns, rtol=0.01)


def test_a_convolution_with_several_filters_a_channel_is_no_pair(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, groups=4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    spec = InputSpec(height=32, width=32, mean=SPEC.mean, std=SPEC.std, embedding_dim=8)
    model = onnx.load(export_onnx(network.eval(), spec, tmp_path / "float.onnx").path)
    assert equalize(model) == 0


def test_an_equalized_file_is_quantized_as_well(tmp_path: Path) -> None:
    network = build("resnet18", 4)
    randomise_batch_norm(network)
    spec = InputSpec(height=64, width=32, mean=SPEC.mean, std=SPEC.std, embedding_dim=network.embedding_dim)
    artifact = export_onnx(network.eval(), spec, tmp_path / "float.onnx")
    images = people(8, 64, 32)
    wanted = open_artifact(artifact.path, Target()).embed(images)
    cosines = {}
    for settings in (PLAIN, QuantizationSettings(equalize=True)):
        graph = calibrate_file(artifact.path, spec, images, settings).graph()
        write_quantized(graph, spec, "int8-static", tmp_path / "int8.onnx")
        found = open_artifact(tmp_path / "int8.onnx", Target()).embed(images)
        cosines[settings.equalize] = float((found * wanted).sum(axis=1).min())
    assert min(cosines.values()) > 0.99
    assert cosines[True] != cosines[False]
