"""A worker's process without Ray: a job in a thread, how it is ended, and what Tune is told then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

import search.runner.watch
import search.runner.worker
from reid.errors import WorkerLost
from search.contact import Contact
from search.jobs import Answer, Job, Resources
from search.runner.scheduler import RungScheduler
from search.runner.watch import Watch
from search.runner.worker import LONGEST_STEP_S, Worker, _Run


def job(folder: Path, function: str) -> Job:
    return Job(number=1, attempt=1, function=f"tests.search.test_worker:{function}", work=folder)


def trains(job: Job, contact: Contact) -> dict[str, Any]:
    """Steps without an end, unless the driver asks for it."""
    contact.report(1, {"mAP": 0.5}, {"status": "stopped"})
    while True:
        contact.go_on()
        time.sleep(0.01)


def leaves(job: Job, contact: Contact) -> dict[str, Any]:
    sys.exit("no licence")


def test_a_stopped_job_ends_without_a_next_one(tmp_path: Path) -> None:
    """At the tail of a search there is none; what is recorded as stopped must not train on."""
    worker: Any = object.__new__(Worker)
    worker._run, worker._holds = None, False
    worker.halt()
    worker.reset_config({"job": job(tmp_path, "trains").to_json()})
    said = worker.step()
    assert said["epoch"] == 1
    actor = SimpleNamespace(halt=SimpleNamespace(remote=worker.halt))
    trial = SimpleNamespace(trial_id="a", temporary_state=SimpleNamespace(ray_actor=actor))
    supply: Any = SimpleNamespace(keep_going=lambda *_: True)
    scheduler = RungScheduler(supply, {"a": worker._job})
    assert scheduler.on_trial_result(None, trial, said) == TrialScheduler.CONTINUE
    assert worker._run._thread.is_alive()
    supply.keep_going = lambda *_: False
    assert scheduler.on_trial_result(None, trial, said) == TrialScheduler.STOP
    worker._run._thread.join(5)
    assert not worker._run._thread.is_alive()
    assert worker._end()


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
    said = _Run(job(tmp_path, "trains")).next()
    assert isinstance(said, Answer)
    assert said.error == {"kind": "OSError", "message": "too many open files"}


def test_a_process_whose_last_job_does_not_end_says_so_by_an_error(tmp_path: Path) -> None:
    """Of a False that `reset_config` returns, Tune tells neither searcher nor callbacks: the new job would be lost."""
    worker = object.__new__(Worker)
    worker._run = SimpleNamespace(end=lambda: False)
    with pytest.raises(WorkerLost, match="did not end its step within 120 s"):
        worker.reset_config({"job": job(tmp_path, "trains").to_json()})
    worker.cleanup()
    assert worker.reset_config({"job": job(tmp_path, "trains").to_json()})


def test_a_worker_that_does_not_take_its_next_job_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[str] = []
    now = 0.0
    monkeypatch.setattr(search.runner.watch, "_kill", lambda trial: killed.append(trial.trial_id))
    monkeypatch.setattr(time, "monotonic", lambda: now)
    queue: Any = SimpleNamespace(live={name: job(tmp_path, "trains") for name in "ab"}, only_holders=False)
    supply: Any = SimpleNamespace(stopping=False, abandoned=False)
    watch = Watch(queue, supply, Resources(silence_s=300))
    trials = [
        SimpleNamespace(trial_id=name, temporary_state=SimpleNamespace(ray_actor=actor))
        for name, actor in (("a", "its worker"), ("b", None), ("c", "of an answered job"))
    ]
    for now in (0.0, LONGEST_STEP_S + 299, LONGEST_STEP_S + 301, LONGEST_STEP_S + 302):
        watch.on_step_begin(1, trials)
        assert killed == ["a"] * (now > LONGEST_STEP_S + 300), "b waits for a place"
