"""Artifacts that several runtimes open."""

import pytest
import torch

from reid.export import Artifact, InputSpec, export_onnx
from reid.models import build
from reid.quantize import quantize
from tests.contract.deployment import SPEC, people


@pytest.fixture(scope="session")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """ResNet-18's graph with every pattern between integers: convolutions, additions, a maximum pool."""
    torch.manual_seed(0)
    network = build("resnet18", 3).eval()
    folder = tmp_path_factory.mktemp("int8")
    spec = InputSpec(height=64, width=32, mean=SPEC.mean, std=SPEC.std, embedding_dim=network.embedding_dim)
    exported = export_onnx(network, spec, folder / "float.onnx")
    return quantize(exported, "int8-static", people(24, 64, 32), folder / "model.onnx")
