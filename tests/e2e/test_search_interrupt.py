"""D5 with the whole pipeline: Ctrl-C during training keeps the finished epochs, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from results import open_study

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.fault]

EPOCHS = 12


def test_d5_an_interrupted_training_goes_on_at_its_epoch(data: Path, space: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    command = [
        Path(sys.executable).with_name("reid-pareto"), "search", "--space", space, "--data", data,
        "--study", study, "--trials", "1", "--set", f"epochs={EPOCHS}", "--set", "input_size=[64, 32]",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as driver:
        assert driver.stderr is not None
        wait_for_epochs(study, driver)
        os.killpg(driver.pid, signal.SIGINT)
        begun = time.monotonic()
        said = driver.communicate(timeout=60)[1]
    assert driver.returncode == 130, said
    assert time.monotonic() - begun <= 30
    assert "stopping: no new trials" in said
    kept = checkpoints(study)
    assert kept, "no epoch was kept"
    assert open_study(study).records() == []

    again = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0, again.stderr
    baseline = open_study(study).baseline
    assert baseline is not None
    curve = [row for row in baseline.curves if row["stage"] == "dense"]
    assert [row["epoch"] for row in curve] == list(range(EPOCHS))
    assert len(open_study(study).records()) == 1


def checkpoints(study: Path) -> list[Path]:
    """What a training that is not over has kept."""
    return [path for path in study.glob("cache/dense-*.work/*") if path.stat().st_size]


def wait_for_epochs(study: Path, driver: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not checkpoints(study):
        assert driver.poll() is None, "the search ended before it trained"
        assert time.monotonic() < deadline, "no epoch ended"
        time.sleep(0.1)
