from pathlib import Path

import numpy as np
import pytest
import torch

from reid.config import Target
from reid.errors import ArtifactError
from reid.quantize import quantize
from reid.runtime import Runtime, check_parity, open_artifact, parity
from tests.contract.deployment import people, tiny_artifact, tiny_network, torch_embeddings


@pytest.fixture(params=[False, True], ids=["plain", "flip"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    return open_artifact(tiny_artifact(tmp_path, flip=request.param).path, Target())


def test_m7_exported_network_agrees(runtime: Runtime) -> None:
    assert check_parity(tiny_network(), runtime, people(8)) == pytest.approx(1, abs=1e-5)


def test_it_is_the_smallest_cosine(tmp_path: Path) -> None:
    runtime = open_artifact(tiny_artifact(tmp_path).path, Target())
    images, other = people(20), tiny_network(seed=1)
    cosines = (torch_embeddings(other, images) * torch_embeddings(tiny_network(), images)).sum(axis=1)
    assert parity(other, runtime, images) == pytest.approx(cosines.min(), abs=1e-5)


def test_m6_another_network_is_an_error_with_the_figure(runtime: Runtime) -> None:
    with pytest.raises(
        ArtifactError, match=r"fp32 network differs from torch: smallest cosine -?0\.\d+ over 4"
    ):
        check_parity(tiny_network(seed=1), runtime, people(4))


def test_not_a_number_is_an_error(runtime: Runtime) -> None:
    broken = tiny_network()
    torch.nn.init.constant_(broken.widen.weight, float("nan"))
    with pytest.raises(ArtifactError, match="nan"):
        check_parity(broken, runtime, people(2))


def test_mode_of_the_network_stays(runtime: Runtime) -> None:
    network = tiny_network().train()
    statistics = network.head[1].running_mean.clone()
    check_parity(network, runtime, people(4))
    assert network.training
    torch.testing.assert_close(network.head[1].running_mean, statistics, rtol=0, atol=0)


def test_m7_int8_is_measured_but_not_refused(tmp_path: Path) -> None:
    artifact = tiny_artifact(tmp_path)
    quantized = quantize(artifact, "int8-static", people(16), tmp_path / "int8.onnx")
    runtime = open_artifact(quantized.path, Target())
    assert 0.99 < check_parity(tiny_network(), runtime, people(8, seed=1)) < 1
    cosine = check_parity(tiny_network(seed=1), runtime, people(8, seed=1))
    assert np.isfinite(cosine)
    assert cosine < 0.99
