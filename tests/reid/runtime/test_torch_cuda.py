"""PyTorch on a GPU: what can be shown without one, and the contract where there is one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reid.config import Target
from reid.errors import NoDevice
from reid.quantize import quantize
from reid.runtime import demand_usable, open_artifact, usable_devices
from reid.runtime.torch_cuda import network_of
from tests.contract.deployment import SPEC, people, tiny_artifact, tiny_network, torch_embeddings
from tests.contract.runtime import RuntimeContract


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
class TestTorchCuda(RuntimeContract):
    target = Target(runtime="torch-cuda", device="cuda:0")
    # cuDNN takes other kernels for other batches: 1.75e-5 on an H200.
    batch_atol = 1e-4


@pytest.mark.parametrize(("scheme", "least"), [("fp32", 0.999999), ("fp16", 0.999), ("bf16", 0.999)])
def test_its_network_embeds_as_torch_does_in_every_scheme(tmp_path: Path, scheme: str, least: float) -> None:
    """On the CPU, which has the same arithmetic, though slower."""
    source = tiny_artifact(tmp_path)
    artifact = quantize(source, scheme, people(0), tmp_path / "other.onnx")
    images = people(5)
    embed = network_of(artifact.path.read_bytes(), scheme, torch.device("cpu"))
    with torch.inference_mode():
        found = embed(torch.from_numpy(SPEC.normalise(images))).numpy()
    assert found.dtype == np.float32
    expected = torch_embeddings(tiny_network(), images)
    cosine = (found * expected).sum(axis=1) / np.linalg.norm(found, axis=1)
    assert cosine.min() > least


@pytest.mark.parametrize(
    ("device", "message"),
    [("cpu", r"'cuda:N' only; set device cuda:0"), ("cuda:7", r"'cuda:7': torch .* finds \d GPUs here")],
)
def test_a_machine_without_the_device_is_told_before_any_work(
    tmp_path: Path, device: str, message: str
) -> None:
    target = Target(runtime="torch-cuda", device=device)
    with pytest.raises(NoDevice, match=message):
        demand_usable(target)
    with pytest.raises(NoDevice, match=message):
        open_artifact(tiny_artifact(tmp_path).path, target)


def test_usable_devices_are_those_of_this_machine() -> None:
    assert usable_devices("torch-cuda") == (["cuda"] if torch.cuda.is_available() else [])
    assert usable_devices("onnxruntime")[0] == "cpu"
