"""T6: a worker that was given up and comes back; workers that go one after the other."""

import dataclasses
import io
from collections.abc import Callable

import pytest
from rich.console import Console

from results import Study
from search.execute import run_job
from search.jobs import Answer, Job, Resources, Supply

pytestmark = pytest.mark.fault


def test_t6_a_worker_that_answers_after_it_was_given_up_changes_nothing(
    run_search: Callable[..., Study],
) -> None:
    """T6: its answer comes before, and once more after, that of the attempt that took its place."""
    late: list[tuple[Job, Answer]] = []

    def loses_the_first_worker(supply: Supply, resources: Resources) -> None:
        while not supply.finished and (job := supply.take()) is not None:
            answer = run_job(job)
            if job.number == 0 and job.attempt == 1:
                assert answer.outcome is not None
                wrong = {**answer.outcome["metrics"], "mAP": 0.999}
                late.append((job, dataclasses.replace(answer, outcome={**answer.outcome, "metrics": wrong})))
                supply.settle(job, Answer(error={"kind": "WorkerLost", "message": "no sign of life"}))
                continue
            for stale, stale_answer in late:
                supply.settle(stale, stale_answer)
            supply.settle(job, answer)
            for stale, stale_answer in late:
                supply.settle(stale, stale_answer)

    console = Console(file=io.StringIO(), width=200)
    study = run_search(3, runner=loses_the_first_worker, console=console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert [record.number for record in study.records()] == [0, 1, 2]
    assert study.record(0).attempt == 2
    assert study.record(0).metrics["mAP"] != 0.999
    assert study.started() == ()
    assert "trial 0: attempt 1 answered after it was given up; dropped" in said


def test_a_lost_device_does_not_use_up_the_retry(run_search: Callable[..., Study]) -> None:
    kinds = {1: "DeviceLost", 2: "WorkerLost", 3: "DeviceLost"}

    def loses(supply: Supply, resources: Resources) -> None:
        while not supply.finished and (job := supply.take()) is not None:
            kind = kinds.get(job.attempt) if job.number == 0 else None
            lost = Answer(error={"kind": kind, "message": "gone"}) if kind else None
            supply.settle(job, lost or run_job(job))

    record = run_search(1, runner=loses).record(0)
    assert (record.status, record.attempt) == ("complete", 4)
