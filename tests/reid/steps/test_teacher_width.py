"""A term that compares embeddings number by number is refused where it would meet two widths, before any work."""

from pathlib import Path
from typing import Any

import pytest
import torch

from reid.config import TrialConfig
from reid.errors import ConfigError
from reid.models import build
from reid.registries import check_names
from tests.reid.runtime.teachers import channel_means

COPYING = "softmax+distill-cosine"


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    """A state dict of 512 numbers, the width of ResNet-18 and of OSNet."""
    torch.save(build("osnet_x0_25", 4).state_dict(), tmp_path / "teacher.pth")
    return str(tmp_path / "teacher.pth")


def test_a_teacher_of_another_width_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.input_spec.json").write_text(
        '{"height": 32, "width": 16, "mean": [0, 0, 0], "std": [1, 1, 1], "embedding_dim": 3}'
    )
    foreign: dict[str, Any] = {"teacher": str(channel_means(tmp_path / "net.onnx")), "method": "none"}
    with pytest.raises(ConfigError, match=r"net\.onnx is 3 wide, that of resnet18 512.*distill-embedding"):
        check_names(TrialConfig(loss=COPYING, **foreign))
    with pytest.raises(ConfigError, match="is 3 wide, that of mobilenet_v2 1280"):
        check_names(TrialConfig(loss="softmax", finetune_loss=COPYING, backbone="mobilenet_v2", **foreign))
    check_names(TrialConfig(loss="softmax+distill-embedding", **foreign))


@pytest.mark.parametrize(
    ("change", "narrowed"),
    [
        ({}, True),
        ({"prune_rate": 0.0, "allocate": "latency", "macs_budget": 0.5}, True),
        ({"scope": "inner"}, False),
        ({"head": "linear"}, False),
        ({"backbone": "osnet_x0_25"}, False),
        ({"prune_rate": 0.0}, False),
        ({"finetune_epochs": 0}, False),
        ({"method": "none"}, False),
    ],
)
@pytest.mark.parametrize("by", ["dense", "file"])
def test_a_narrowed_embedding_cannot_copy(
    by: str, change: dict[str, Any], narrowed: bool, teacher: str
) -> None:
    config: dict[str, Any] = {"loss": "softmax", "finetune_loss": COPYING, "teacher": "dense", **change}
    if by == "file":
        config |= {"teacher": teacher, "teacher_backbone": "osnet_x0_25", "loss": COPYING}
        config |= {"finetune_loss": None}
    if not narrowed:
        check_names(TrialConfig(**config))
        return
    with pytest.raises(ConfigError, match=r"scope grouped narrows the embedding of resnet18.*scope to inner"):
        check_names(TrialConfig(**config))
