"""Half a batch after a lack of memory, places on nodes, devices by their hardware, and a Ray that is too old."""

import pytest

from reid.config import TrialConfig
from reid.errors import ConfigError, ResourceError
from reid.timing.physical import physical_device
from search.devices import device_is_lost
from search.jobs import Resources
from search.policy import decide, smaller
from search.runner.capacity import Share, places
from search.runner.cluster import _demand_version


def test_t3_half_the_batch_down_to_two_identities() -> None:
    values = {"dataset": "synthetic", "identities_per_batch": 5}
    assert smaller(TrialConfig.from_dict(values)) == {"identities_per_batch": 2}
    assert smaller(TrialConfig.from_dict({**values, "identities_per_batch": 2})) == {}


@pytest.mark.parametrize(
    ("node", "share", "count"),
    [
        ({"CPU": 8, "GPU": 2}, Share(cpus=1, gpus=1), 2),
        ({"CPU": 8, "GPU": 2}, Share(cpus=1, gpus=0.4), 4),
        ({"CPU": 8, "GPU": 1}, Share(cpus=1, gpus=1 / 3), 3),
        ({"CPU": 3}, Share(cpus=2, gpus=0), 1),
    ],
)
def test_places_of_a_node(node: dict[str, float], share: Share, count: int) -> None:
    assert places([node], share) == count
    assert places([node, node], share) == 2 * count


def test_t8_hardware_is_told_from_programs() -> None:
    assert device_is_lost("CUDA error: uncorrectable ECC error encountered")
    assert not device_is_lost("CUDA error: device-side assert triggered")
    assert decide("DeviceLost", retries=9) == "retry"


def test_a_gpu_has_one_name_under_every_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert physical_device("cuda:1") == "cuda-5"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert physical_device("cuda") == "cuda-5"
    assert physical_device("cpu") == "cpu"


def test_x10_an_old_ray_is_refused() -> None:
    _demand_version("2.54.0")
    with pytest.raises(ResourceError, match=r"2\.53\.1.*2\.54"):
        _demand_version("2.53.1")


def test_one_and_a_half_gpus_are_refused() -> None:
    with pytest.raises(ConfigError, match="--gpus-per-trial"):
        Resources(gpus_per_trial=1.5)
