"""Every network as an ONNX file: any number of images, the embeddings of torch."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from reid.export import InputSpec, export_onnx
from reid.models import BACKBONES, ReIDNetwork, build
from tests.contract.deployment import SPEC, people, randomise_batch_norm, torch_embeddings

Built = Callable[[str], ReIDNetwork]

SPEC_64 = InputSpec(height=64, width=32, mean=SPEC.mean, std=SPEC.std, embedding_dim=1)

# resnet18 is exported in tests/reid/export; the others take a minute of processor time in all.
ALWAYS = {"convnext_tiny", "efficientnet_b0", "mobilenet_v3_small"}


def demand_parity(network: ReIDNetwork, folder: Path) -> None:
    settle(network)
    spec = InputSpec(height=64, width=32, mean=SPEC.mean, std=SPEC.std, embedding_dim=network.embedding_dim)
    path = export_onnx(network, spec, folder / "network.onnx").path
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        images = people(count, 64, 32)
        (found,) = session.run(["embedding"], {"images": spec.normalise(images)})
        expected = torch_embeddings(network.eval(), images, spec)
        assert found.shape == (count, network.embedding_dim)
        # Rounding adds up over the fifty normalisations of an EfficientNet; a wrong layer is off by far more.
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (expected[0] * expected[1]).sum() < 0.999


def settle(network: ReIDNetwork) -> None:
    """Random scales, and statistics of a batch, so that embeddings depend on the images as after a training."""
    randomise_batch_norm(network)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.from_numpy(SPEC_64.normalise(people(8, 64, 32, seed=1))))


@pytest.mark.parametrize("name", sorted(ALWAYS))
def test_some_export(name: str, built: Built, tmp_path: Path) -> None:
    demand_parity(built(name), tmp_path)


@pytest.mark.skipif("REID_PARETO_SLOW" not in os.environ, reason="about 10 s each; set REID_PARETO_SLOW=1")
@pytest.mark.parametrize("name", sorted(set(BACKBONES) - ALWAYS))
def test_all_others_export(name: str, built: Built, tmp_path: Path) -> None:
    demand_parity(built(name), tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"head": "pcb", "pooling": "gem", "last_stride": 1, "spectral": 0.3, "drop_branches": 4},
        {"head": "linear", "pooling": "max", "ibn": True, "dropout": 0.3},
    ],
    ids=["parts", "linear"],
)
def test_options_export(options: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    demand_parity(build("resnet18", 7, width=0.25, **options), tmp_path)
