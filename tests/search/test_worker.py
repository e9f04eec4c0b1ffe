"""A worker's process without Ray: a job in a thread that takes turns with Tune, and what Tune is told at its end."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import search.runner.watch
import search.runner.worker
from reid.errors import WorkerLost
from search.contact import Contact
from search.jobs import Answer, Job, Resources
from search.runner.watch import Watch
from search.runner.worker import LONGEST_STEP_S, Worker, _Run


def job(folder: Path, function: str) -> Job:
    return Job(number=1, attempt=1, function=f"tests.search.test_worker:{function}", work=folder)


def reports(job: Job, contact: Contact) -> dict[str, Any]:
    contact.report(1, {"mAP": 0.5}, {"status": "stopped"})
    contact.go_on()
    (job.work / "trained-on").touch()
    return {"status": "complete"}


def leaves(job: Job, contact: Contact) -> dict[str, Any]:
    sys.exit("no licence")


def reported(folder: Path) -> _Run:
    run = _Run(job(folder, "reports"))
    said = run.next()
    assert isinstance(said, dict)
    assert said["epoch"] == 1
    time.sleep(0.1)
    assert not (folder / "trained-on").exists()
    return run


def test_a_job_goes_on_after_a_report_when_it_is_asked_for_more(tmp_path: Path) -> None:
    run = reported(tmp_path)
    said = run.next()
    assert isinstance(said, Answer)
    assert said.outcome == {"status": "complete"}
    assert run.end()


def test_a_job_that_is_stopped_at_a_report_computes_nothing_more(tmp_path: Path) -> None:
    assert reported(tmp_path).end()
    assert not (tmp_path / "trained-on").exists()


def test_a_job_that_leaves_its_process_is_answered(tmp_path: Path) -> None:
    said = _Run(job(tmp_path, "leaves")).next()
    assert isinstance(said, Answer)
    assert said.error == {"kind": "SystemExit", "message": "no licence"}


def test_a_log_that_cannot_be_kept_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def full(path: Path) -> Iterator[None]:
        raise OSError("too many open files")
        yield

    monkeypatch.setattr(search.runner.worker, "captured", full)
    said = _Run(job(tmp_path, "reports")).next()
    assert isinstance(said, Answer)
    assert said.error == {"kind": "OSError", "message": "too many open files"}


def test_a_process_whose_last_job_does_not_end_says_so_by_an_error(tmp_path: Path) -> None:
    """Of a False that `reset_config` returns, Tune tells neither searcher nor callbacks: the new job would be lost."""
    worker = object.__new__(Worker)
    worker._run = SimpleNamespace(end=lambda: False)
    with pytest.raises(WorkerLost, match="did not end its step within 120 s"):
        worker.reset_config({"job": job(tmp_path, "reports").to_json()})
    worker.cleanup()
    assert worker.reset_config({"job": job(tmp_path, "reports").to_json()})


def test_a_worker_that_does_not_take_its_next_job_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[str] = []
    now = 0.0
    monkeypatch.setattr(search.runner.watch, "_kill", lambda trial: killed.append(trial.trial_id))
    monkeypatch.setattr(time, "monotonic", lambda: now)
    queue: Any = SimpleNamespace(live={name: job(tmp_path, "reports") for name in "ab"}, only_holders=False)
    supply: Any = SimpleNamespace(stopping=False, abandoned=False)
    watch = Watch(queue, supply, Resources(silence_s=300))
    trials = [
        SimpleNamespace(trial_id=name, temporary_state=SimpleNamespace(ray_actor=actor))
        for name, actor in (("a", "its worker"), ("b", None), ("c", "of an answered job"))
    ]
    for now in (0.0, LONGEST_STEP_S + 299, LONGEST_STEP_S + 301, LONGEST_STEP_S + 302):
        watch.on_step_begin(1, trials)
        assert killed == ["a"] * (now > LONGEST_STEP_S + 300), "b waits for a place"
