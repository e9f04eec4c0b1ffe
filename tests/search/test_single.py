"""One trial outside a study: what it is told of the limits of its space."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import search.single
from reid.config import TrialConfig
from reid.errors import DataError, ReidParetoError, ResourceError
from reid.outcome import TrialOutcome
from results import DiskCache
from search.cli import app
from search.planner import absolute_limits
from search.single import run_single
from tests.search.conftest import make_space


@pytest.mark.parametrize(("latency_ms", "status"), [(7.9, "complete"), (9.0, "infeasible")])
def test_a_trial_that_breaks_a_limit_is_finished_and_told(
    latency_ms: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits on the baseline are left out, because there is none."""
    space = make_space(limits=["latency_ms <= 8", "mAP >= baseline - 0.1"])
    metrics = {"mAP": 0.1, "latency_ms": latency_ms}
    outcome = TrialOutcome(status="complete", metrics=metrics, latency_trusted=True)
    monkeypatch.setattr(search.single, "run", lambda *_, **__: outcome)
    told = run_single(TrialConfig(), tmp_path, tmp_path / "run", limits=absolute_limits(space))
    assert told.status == status
    assert list(told.violations) == (["latency_ms <= 8"] if status == "infeasible" else [])
    assert json.loads((tmp_path / "run" / "trial.json").read_text())["status"] == status


def test_a_trial_of_data_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    arguments = ["trial", "--data", str(tmp_path / "nosuch"), "--out", str(tmp_path / "runs" / "one")]
    assert isinstance(CliRunner().invoke(app, arguments).exception, DataError)
    assert list(tmp_path.iterdir()) == []


def test_a_training_of_damaged_data_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").write_text('{"name": "synthetic"}')
    (tmp_path / "run").mkdir()
    arguments = ["train", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert isinstance(CliRunner().invoke(app, arguments).exception, ReidParetoError)
    assert list((tmp_path / "run").iterdir()) == []


def test_what_was_computed_before_a_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(folder: Path) -> None:
        (folder / "weights").write_bytes(b"1")

    def fill_the_disk(*_: object, cache: DiskCache, **__: object) -> None:
        cache.get_or_compute("dense-1", compute)
        raise ResourceError("no space left")

    monkeypatch.setattr(search.single, "run", fill_the_disk)
    with pytest.raises(ResourceError):
        run_single(TrialConfig(), tmp_path, tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists()
    assert (tmp_path / "run" / "cache" / "dense-1" / "weights").exists()
