"""A run of some of a benchmark's subjects keeps the figures of the others."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import device, recipes
from benchmarks.market_training import gains

COMMON = ["--epochs", "10"]
RECIPES = {"first": ["--loss", "softmax"], "second": ["--loss", "triplet"]}


def _finished(runs: Path, name: str, accuracy: float) -> None:
    (runs / name).mkdir(parents=True)
    trial = {
        "metrics": {"mAP": accuracy, "rank1": accuracy},
        "curves": [{"epoch": 4, "val_mAP": accuracy / 2}, {"epoch": 5}],
    }
    (runs / name / "trial.json").write_text(json.dumps(trial))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(device, "RESULTS", folder)
    return folder


def _compare(runs: Path, results: Path, only: str, common: list[str] = COMMON) -> dict[str, Any]:
    options = argparse.Namespace(runs=runs, only=[only], data=Path("data"), teacher=Path("teacher"))
    recipes.compare_recipes("trial", options, common, RECIPES)
    (path,) = results.iterdir()
    return dict(json.loads(path.read_text()))


def test_recipes_of_the_result_file_stay_beside_a_new_one(tmp_path: Path, results: Path) -> None:
    _finished(tmp_path / "a", "first", 0.5)
    _finished(tmp_path / "b", "second", 0.7)
    _compare(tmp_path / "a", results, "first")
    found = _compare(tmp_path / "b", results, "second")["recipes"]
    assert {name: row["mAP"] for name, row in found.items()} == {"first": 0.5, "second": 0.7}
    assert found["first"]["mAP_by_epoch"] == {"5": 0.25}


def test_recipes_by_other_common_settings_do_not(tmp_path: Path, results: Path) -> None:
    _finished(tmp_path / "a", "first", 0.5)
    _finished(tmp_path / "b", "second", 0.7)
    _compare(tmp_path / "a", results, "first")
    assert list(_compare(tmp_path / "b", results, "second", ["--epochs", "20"])["recipes"]) == ["second"]


def test_a_gain_needs_both_twins() -> None:
    found: dict[str, Any] = {"device": "any", "resnet18-128x64-steep": {"test": {"mAP": 0.66}}}
    assert gains(found) == {}
    found["resnet18-128x64-steep-alone"] = {"test": {"mAP": 0.5}}
    assert gains(found) == {"resnet18_gain_by_teacher_in_steep_descent": 0.16}
