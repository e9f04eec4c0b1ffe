"""The network that is trained rounds as the file does that comes of it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from reid.config import Target
from reid.errors import ArtifactError
from reid.export import Artifact, InputSpec, export_onnx
from reid.models import ReIDNetwork, build
from reid.quantize.graph_network import GraphNetwork
from reid.quantize.ranges import Calibrated, calibrate_file
from reid.quantize.schemes import write_quantized
from reid.quantize.settings import QuantizationSettings
from reid.runtime import open_artifact
from reid.timing.machine import int8_saturates
from tests.contract.deployment import (
    SPEC,
    people,
    randomise_batch_norm,
    tiny_artifact,
    tiny_network,
    torch_embeddings,
)
from tests.reid.quantize.graphs import optimised

EXACT = QuantizationSettings(weight_bits=7 if int8_saturates() else 8)
"""What this machine multiplies without loss."""


def embeddings(network: GraphNetwork, images: np.ndarray, spec: InputSpec = SPEC) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(spec.normalise(images))).numpy()


def written(network: GraphNetwork, path: Path, spec: InputSpec = SPEC) -> Artifact:
    layers = write_quantized(network.write(), spec, "int8-qat", path)
    return Artifact.of(path, spec, "int8-qat", layers)


def taken_apart(network: ReIDNetwork, folder: Path) -> tuple[InputSpec, Calibrated, GraphNetwork]:
    """A network exported to float.onnx, calibrated on a few people, as a graph that can be trained."""
    spec = InputSpec(height=64, width=32, mean=SPEC.mean, std=SPEC.std, embedding_dim=network.embedding_dim)
    artifact = export_onnx(network.eval(), spec, folder / "float.onnx")
    start = calibrate_file(artifact.path, spec, people(12, 64, 32), EXACT)
    return spec, start, GraphNetwork(start.graph(), start.model, start.weight_bits).eval()


@pytest.fixture
def start(tmp_path: Path) -> Calibrated:
    return calibrate_file(tiny_artifact(tmp_path).path, SPEC, people(32), EXACT)


def test_before_training_it_is_the_static_file(start: Calibrated, tmp_path: Path) -> None:
    network = GraphNetwork(start.graph(), start.model, start.weight_bits).eval()
    assert network.embedding_dim == SPEC.embedding_dim
    write_quantized(start.graph(), SPEC, "int8-static", tmp_path / "static.onnx")
    images = people(40, seed=9)
    static = open_artifact(tmp_path / "static.onnx", Target()).embed(images)
    assert (static * embeddings(network, images)).sum(axis=1).min() > 0.9999
    again = open_artifact(written(network, tmp_path / "qat.onnx").path, Target()).embed(images)
    assert (static * again).sum(axis=1).min() > 0.9999


def test_without_rounding_it_is_the_float_network(start: Calibrated) -> None:
    network = GraphNetwork(start.graph(), start.model, start.weight_bits).eval()
    images = people(32)  # those that gave the ranges, so nothing is clipped
    network.only(())
    np.testing.assert_allclose(
        embeddings(network, images), torch_embeddings(tiny_network(), images), atol=1e-3
    )
    network.only(("widen",))
    one = embeddings(network, images)
    network.only(None)
    both = embeddings(network, images)
    exact = torch_embeddings(tiny_network(), images)
    assert 1e-7 < 1 - (one * exact).sum(axis=1).mean() < 1 - (both * exact).sum(axis=1).mean()


def test_training_moves_weights_and_ranges_and_the_file_follows(start: Calibrated, tmp_path: Path) -> None:
    network = GraphNetwork(start.graph(), start.model, start.weight_bits).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    batch = torch.from_numpy(SPEC.normalise(people(16)))
    wanted = torch.nn.functional.normalize(torch.randn(16, 24, generator=torch.Generator().manual_seed(0)))
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (1 - (network(batch).embedding * wanted).sum(dim=1)).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05
    before = {tensor.name: numpy_helper.to_array(tensor) for tensor in start.graph().graph.initializer}
    after = {tensor.name: numpy_helper.to_array(tensor) for tensor in network.write().graph.initializer}
    assert before.keys() == after.keys()
    for layer in network.layers:
        assert (before[layer.weight] != after[layer.weight]).mean() > 0.05, layer.name
        for use in layer.uses:
            assert before[use.grid] != after[use.grid], layer.name
            if use.bias:
                assert (before[use.bias_scale] != after[use.bias_scale]).all(), layer.name
    images = people(40, seed=9)
    file = open_artifact(written(network.eval(), tmp_path / "qat.onnx").path, Target())
    assert (file.embed(images) * embeddings(network, images)).sum(axis=1).min() > 0.999


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("resnet18", {}),
        ("resnet18", {"pooling": "gem"}),
        ("resnet18", {"ibn": True}),
        ("osnet_x0_25", {}),
        ("densenet121", {}),
        ("mobilenet_v3_small", {}),
        ("convnext_tiny", {}),
    ],
)
def test_file_and_network_agree_and_every_layer_is_an_integer_kernel(
    tmp_path: Path, backbone: str, options: dict[str, Any]
) -> None:
    # Residual sums, concatenations and gates, whose scales differ between what they join.
    network = build(backbone, 4, **options)
    randomise_batch_norm(network)
    spec, start, student = taken_apart(network, tmp_path)
    images = people(12, 64, 32)
    file = written(student, tmp_path / "int8.onnx", spec)
    found = open_artifact(file.path, Target()).embed(images)
    assert (found * embeddings(student, images, spec)).sum(axis=1).min() > 0.999
    assert (found * torch_embeddings(network, images, spec)).sum(axis=1).min() > 0.995
    assert file.layers is not None
    assert not file.layers["float"]
    kinds = optimised(file.path, tmp_path)
    # Norms before convolutions have become convolutions too (DenseNet).
    convolutions = sum(node.op_type == "Conv" for node in start.model.graph.node)
    exported = sum(node.op_type == "Conv" for node in onnx.load(tmp_path / "float.onnx").graph.node)
    assert convolutions == exported + (61 if backbone == "densenet121" else 0)
    assert kinds["QLinearConv"] == convolutions
    assert kinds["Conv"] == kinds["FusedConv"] == 0


def test_a_layer_that_runs_in_several_places_has_one_bias_in_all_of_them(tmp_path: Path) -> None:
    """OSNet's gates run four times in a block; the quantizer holds their bias once for each activation read."""
    torch.manual_seed(0)
    network = build("osnet_x0_25", 4)
    randomise_batch_norm(network)
    for name, parameter in network.named_parameters():
        if "gate" in name and name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    spec, _, student = taken_apart(network, tmp_path)
    images = people(12, 64, 32)
    several = [layer for layer in student.layers if len({use.bias for use in layer.uses}) > 1]
    assert len(several) > 5
    integers = optimised(written(student, tmp_path / "before.onnx", spec).path, tmp_path)["QLinearConv"]
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.002 * torch.rand_like(parameter)
    file = written(student, tmp_path / "after.onnx", spec)
    assert optimised(file.path, tmp_path)["QLinearConv"] == integers
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in student.write().graph.initializer}
    for layer in several:
        scales = [stored[layer.weight_scale] * stored[use.grid] for use in layer.uses]
        for use, scale in zip(layer.uses, scales, strict=True):
            np.testing.assert_allclose(stored[use.bias_scale], scale, rtol=1e-6)
        values = [stored[use.bias] * scale for use, scale in zip(layer.uses, scales, strict=True)]
        for value, scale in zip(values, scales, strict=True):
            np.testing.assert_allclose(value, values[0], atol=1.01 * float(scale.max() + scales[0].max()) / 2)
    found = open_artifact(file.path, Target()).embed(images)
    assert (found * embeddings(student, images, spec)).sum(axis=1).min() > 0.9999


def test_concatenated_branches_of_different_range_do_not_saturate(tmp_path: Path) -> None:
    class Branches(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small, self.large = torch.nn.Conv2d(3, 8, 1), torch.nn.Conv2d(3, 8, 1)
            self.large.weight.data *= 10
            self.joined = torch.nn.Conv2d(16, 24, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            both = torch.cat([self.small(images).relu(), self.large(images).relu()], dim=1)
            return self.joined(both).mean(dim=(2, 3))

    torch.manual_seed(0)
    network = Branches().eval()
    artifact = export_onnx(network, SPEC, tmp_path / "float.onnx")
    images = people(32)
    graph = calibrate_file(artifact.path, SPEC, images, EXACT).graph()
    write_quantized(graph, SPEC, "int8-static", tmp_path / "int8.onnx")
    found = open_artifact(tmp_path / "int8.onnx", Target()).embed(images)
    # The first branch's scale for both would clip the second at a tenth of its range.
    assert (found * torch_embeddings(network, images)).sum(axis=1).min() > 0.999


def test_an_operator_that_cannot_be_trained_is_named(start: Calibrated) -> None:
    graph = start.graph()
    graph.graph.node[-1].op_type = "Cos"
    with pytest.raises(ArtifactError, match="operator Cos has no counterpart in torch"):
        GraphNetwork(graph, start.model)
