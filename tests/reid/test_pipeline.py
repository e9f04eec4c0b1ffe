"""What a trial is refused for before its images are looked at."""

from pathlib import Path
from typing import Any

import pytest
import torch

from reid.config import TrialConfig
from reid.errors import ConfigError
from reid.models import build
from reid.pipeline import run
from reid.stages import NoCache


@pytest.mark.parametrize(
    ("there", "here", "message"),
    [
        ({}, {"backbone": "resnet18"}, r"no entry of .*w\.pth fits ResNet"),
        ({}, {"backbone": "osnet_x0_5"}, "do not fill osnet_x0_5"),
        ({"head": "pcb"}, {}, "do not fill osnet_x0_25"),
    ],
)
def test_weights_of_another_network_are_refused_before_the_data(
    there: dict[str, Any],
    here: dict[str, Any],
    message: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch.save(build("osnet_x0_25", 4, **there).state_dict(), tmp_path / "w.pth")
    config = TrialConfig(weights=str(tmp_path / "w.pth"), **({"backbone": "osnet_x0_25"} | here))
    with pytest.raises(ConfigError, match=message):
        run(config, data_root=tmp_path / "nowhere", cache=NoCache(tmp_path))
    assert not caplog.records
