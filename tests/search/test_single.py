"""One trial outside a study: what it is told of the limits of its space."""

import json
from pathlib import Path

import pytest

import search.single
from reid.config import TrialConfig
from reid.outcome import TrialOutcome
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
