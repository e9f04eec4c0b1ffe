"""What follows from a failure, and what the sampler hears of a record."""

from typing import Any

import pytest

import reid.errors
from reid.config import Limit
from results import Record
from search.feedback import OTHER_CONSTRAINT, tell_of
from search.jobs import Answer, Job
from search.policy import decide, rebuild_error

LIMITS = (Limit(metric="latency_ms", operator="<=", value=8.0), Limit(metric="mAP", operator=">=", value=0.5))


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("ConfigError", "failed", "failed"),
        ("DataError", "stop", "stop"),
        ("NoDevice", "stop", "stop"),
        ("ResourceError", "retry", "failed"),
        ("WorkerLost", "retry", "failed"),
        ("ArtifactError", "infeasible", "infeasible"),
        ("UnverifiedError", "infeasible", "infeasible"),
        ("TrainingDiverged", "failed", "failed"),
        ("StudyDamaged", "failed", "failed"),
        ("RuntimeError", "failed", "failed"),
        ("annotations", "failed", "failed"),
    ],
)
def test_the_kind_decides(kind: str, first: str, second: str) -> None:
    assert (decide(kind, 0), decide(kind, 1)) == (first, second)


def test_an_error_survives_the_way_through_its_name() -> None:
    error = rebuild_error("DataError", "bad image")
    assert type(error) is reid.errors.DataError
    assert str(error) == "bad image"
    assert type(rebuild_error("KeyError", "x")) is reid.errors.ReidParetoError


def record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "number": 3, "status": "complete", "params": {"knn": 2}, "config": {},
        "metrics": {"mAP": 0.6, "latency_ms": 4.0}, "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:00:01+00:00",
    }  # fmt: skip
    return Record(**{**values, **changes})


def test_a_complete_trial_tells_values_and_slack() -> None:
    told = tell_of(record(), ["mAP", "latency_ms"], LIMITS)
    assert told.values == {"mAP": 0.6, "latency_ms": 4.0}
    assert told.constraints == pytest.approx(
        {"latency_ms <= 8": -0.5, "mAP >= 0.5": -0.2, OTHER_CONSTRAINT: 0.0}
    )
    assert not told.failed


@pytest.mark.parametrize(("latency_ms", "broken"), [(9.0, False), (10.5, True)])
def test_a_latency_in_doubt_is_no_excess(latency_ms: float, broken: bool) -> None:
    doubted = record(metrics={"mAP": 0.6, "latency_ms": latency_ms}, latency_trusted=False)
    told = tell_of(doubted, ["mAP", "latency_ms"], LIMITS)
    assert (told.constraints["latency_ms <= 8"] > 0) == broken


def test_a_trial_ended_early_tells_what_it_has() -> None:
    early = record(status="infeasible", metrics={"latency_ms": 12.0}, violations={"latency_ms <= 8": 4.0})
    told = tell_of(early, ["mAP", "latency_ms"], LIMITS)
    assert told.values == {"latency_ms": 12.0}
    assert told.constraints == pytest.approx(
        {"latency_ms <= 8": 0.5, "mAP >= 0.5": 0.0, OTHER_CONSTRAINT: 0.0}
    )


def test_other_reasons_share_one_constraint() -> None:
    parity = record(status="infeasible", metrics={}, error={"kind": "ArtifactError", "message": "cosine"})
    assert tell_of(parity, ["mAP"], LIMITS).constraints[OTHER_CONSTRAINT] == 1.0
    drop = record(status="infeasible", violations={"quantization_drop <= 0.02": 0.03})
    assert tell_of(drop, ["mAP"], LIMITS).constraints[OTHER_CONSTRAINT] == pytest.approx(0.03)


def test_a_failed_trial_tells_nothing_but_that() -> None:
    failed = record(status="failed", error={"kind": "x", "message": "y"})
    told = tell_of(failed, ["mAP", "latency_ms"], LIMITS)
    assert told.failed
    assert told.values == {}


def test_jobs_and_answers_survive_as_text(tmp_path: Any) -> None:
    job = Job(number=-1, attempt=2, function="a:b", work=tmp_path, payload={"config": {"input_size": [1, 2]}})
    assert Job.from_json(job.to_json()) == job
    answer = Answer(outcome={"metrics": {"mAP": 0.5}}, worker={"pid": 1})
    assert Answer.from_json(answer.to_json()) == answer
