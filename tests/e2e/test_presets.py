"""Presets are studies that run: one trial of each on generated images, its slow settings made small."""

import json
import shutil
from pathlib import Path
from typing import Literal

import pytest
from typer.testing import CliRunner

import spaces
from reid.config import TrialConfig
from reid.data.prepare import prepare
from reid.steps.dense import recipe_of
from search.cli import app
from tests.docs.world import SMALL_TRIAL, make_teacher

NEEDED = {
    "market-osnet-taught": {"weights": "null", "teacher": "teacher.xml"},
    "market-osnet-small": {"weights": "null", "teacher": "teacher.xml"},
    # As market-osnet-small but for sizes; int8-mixed is run there.
    "market-osnet-longer": {"weights": "null", "teacher": "teacher.xml", "quantization": "fp32"},
    "market-osnet-wider": {"weights": "null", "teacher": "teacher.xml"},
    "market-lpcv": {"weights": "null"},
    # Timing each of 121 layers in both forms takes minutes; int8-mixed is run on other networks.
    "market-densenet-int8": {"weights": "null", "quantization": "int8-static"},
    "market-bafd": {"weights": "null"},
}
"""Preset -> settings that its first lines ask for, or files that cannot be had here.

The other presets are run by the tests of the documentation and of the main job.
"""

QUICK = {
    **SMALL_TRIAL,
    "validation_share": 0.4,
    "batch_size": 8,
    "schedule": "constant",
    "milestones": [],
    "zero_epochs": 0,
    "qat_epochs": 1,
    "footprint": False,
}

STAGES: tuple[Literal["dense", "prune", "finetune"], ...] = ("dense", "prune", "finetune")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "teacher.xml"
    make_teacher(path)
    return path


@pytest.fixture(scope="module")
def market(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated images under the name that the presets want."""
    root = tmp_path_factory.mktemp("market")
    shutil.copytree(data, root / "source")
    (root / "source" / "dataset.json").unlink()
    prepare("market1501", root / "source", root / "prepared")
    return root / "prepared"


@pytest.mark.e2e
@pytest.mark.usefixtures("hasty_timing")
@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_trial_of_a_preset_runs(name: str, market: Path, teacher: Path, tmp_path: Path) -> None:
    space = spaces.load(name)
    settings = {**QUICK, **last_choices(space), **NEEDED[name]}
    if "teacher" in settings:
        settings["teacher"] = str(teacher)
    assigned = [
        f"--set={key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in settings.items()
    ]
    call = ["trial", "--space", name, "--data", str(market), "--out", str(tmp_path / "run"), *assigned]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "run" / "trial.json").read_text())
    assert found["status"] in ("complete", "infeasible"), found
    assert set(space.objectives) <= set(found["metrics"])


def test_bafd_trains_as_published() -> None:
    config = TrialConfig.from_dict({**spaces.load("market-bafd").fixed, "method": "bafd"})
    trained = {stage: recipe_of(config, stage) for stage in STAGES}
    assert [stage for stage, recipe in trained.items() if recipe.epochs] == ["prune"]
    soft = trained["prune"]
    assert (soft.epochs, soft.learning_rate, soft.backbone_rate, soft.milestones) == (70, 0.01, 0.1, (40, 60))
    assert config.zero_epochs == 0


def last_choices(space: spaces.Space) -> dict[str, object]:
    """The last of every list of choices that applies with the others; ranges stay at what `trial` takes."""
    chosen: dict[str, object] = {}
    for name, parameter in space.parameters.items():
        if parameter.choice and name != "input_size":
            chosen[name] = parameter.choice[-1]
    return {
        name: value
        for name, value in chosen.items()
        if all(
            chosen.get(key, space.fixed.get(key)) == wanted
            for key, wanted in space.parameters[name].when.items()
        )
    }
