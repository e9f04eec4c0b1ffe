"""Slim networks on disk."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reid.errors import ConfigError, UnverifiedError
from reid.models import ReIDNetwork, build
from reid.prune import PrunePlan, load_slim, save_slim, slim

Build = Callable[[str], ReIDNetwork]


Saved = Callable[..., tuple[ReIDNetwork, PrunePlan]]


@pytest.fixture
def saved(network: Build, any_plan: Callable[..., PrunePlan]) -> Saved:
    """`saved(name, scope, folder)`: what was written there."""

    def save(name: str, scope: str, folder: Path) -> tuple[ReIDNetwork, PrunePlan]:
        plan = any_plan(name, scope, 0.5, 8)
        slimmed = slim(network(name), plan)
        assert save_slim(slimmed, plan, folder) == folder
        return slimmed, plan

    return save


@pytest.mark.parametrize("scope", ["inner", "grouped"])
@pytest.mark.parametrize("name", ["resnet18", "osnet_x0_25"])
def test_a_slim_network_comes_back(
    name: str, scope: str, saved: Saved, images: Tensor, tmp_path: Path
) -> None:
    slimmed, plan = saved(name, scope, tmp_path / "slim")
    loaded, read = load_slim(lambda: build(name, 7), tmp_path / "slim")
    assert read == plan
    assert torch.equal(loaded.eval()(images), slimmed.eval()(images))
    assert sorted(path.name for path in (tmp_path / "slim").iterdir()) == ["model.safetensors", "plan.json"]


def test_another_network_is_refused(saved: Saved, tmp_path: Path) -> None:
    saved("resnet18", "inner", tmp_path)
    with pytest.raises(ConfigError, match=r"unit layer1\.0\.conv1"):
        load_slim(lambda: build("osnet_x0_25", 7), tmp_path)
    with pytest.raises(UnverifiedError, match=r"classifier\.weight"):
        load_slim(lambda: build("resnet18", 8), tmp_path)


@pytest.mark.parametrize("name", ["plan.json", "model.safetensors"])
@pytest.mark.parametrize("damage", [None, b"", b"{}", b"\xff\x00"])
def test_damaged_files_are_named(name: str, damage: bytes | None, saved: Saved, tmp_path: Path) -> None:
    saved("osnet_x0_25", "inner", tmp_path)
    (tmp_path / name).unlink()
    if damage is not None:
        (tmp_path / name).write_bytes(damage)
    with pytest.raises(UnverifiedError, match=tmp_path.name):
        load_slim(lambda: build("osnet_x0_25", 7), tmp_path)


def test_files_of_two_networks_are_told_apart(saved: Saved, tmp_path: Path) -> None:
    saved("osnet_x0_25", "inner", tmp_path / "a")
    saved("osnet_x0_25", "grouped", tmp_path / "b")
    (tmp_path / "b" / "plan.json").replace(tmp_path / "a" / "plan.json")
    with pytest.raises(UnverifiedError, match="does not fit"):
        load_slim(lambda: build("osnet_x0_25", 7), tmp_path / "a")
