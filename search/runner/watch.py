"""Looks after running workers from Tune's loop: stops them when told to, kills the silent and the endless."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback

from reid.errors import OutOfMemory, TimeLimit, WorkerLost
from reid.files import write_volatile
from search.jobs import Answer, Job, Resources, Sign, Supply
from search.runner.queue import Queue, Unsaved
from search.runner.worker import LONGEST_STEP_S

__all__ = ["Leave", "Watch"]

_LOOK_EVERY_S = 0.5


class Leave(BaseException):
    """Unwinds Tune's loop at once; not an Exception, because Tune would then wait for its workers to end."""


@dataclass(slots=True)
class _Running:
    """A Tune trial that has a worker.

    Attributes:
        trial: Tune's own.
        since: when it was last heard of, in seconds of the monotonic clock.
        sign: the last one.
        killed: why it was killed, as an error of an answer.
    """

    trial: Any
    since: float
    sign: Sign | None = None
    killed: dict[str, str] | None = None


class Watch(Unsaved, Callback):  # type: ignore[misc]
    """Reports what ends without an answer, and ends what must not go on."""

    def __init__(self, queue: Queue, supply: Supply, resources: Resources) -> None:
        self._queue, self._supply, self._resources = queue, supply, resources
        self._running: dict[str, _Running] = {}
        self._next_look = 0.0
        self._leave_at: float | None = None

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Between two events of Tune's loop, at least ten times a second."""
        now = time.monotonic()
        if self._supply.abandoned or self._queue.only_holders:
            raise Leave
        if self._supply.stopping:
            self._stop(now)
        if now >= self._next_look:
            self._next_look = now + _LOOK_EVERY_S
            self._note_reused(trials, now)
            for trial_id, running in list(self._running.items()):
                self._look(trial_id, running, now)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker took a job."""
        self._running[trial.trial_id] = _Running(trial, time.monotonic())

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A job was answered."""
        self._running.pop(trial.trial_id, None)
        # Tune keeps every trial for ever; what ours carried is committed.
        trial.config = {}
        trial.run_metadata.last_result = {}

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker is gone without an answer."""
        running = self._running.pop(trial.trial_id, None)
        killed = running.killed if running else None
        self._queue.lost(trial.trial_id, Answer(error=killed or _reason(trial)))

    def _note_reused(self, trials: list[Any], now: float) -> None:
        """Look after workers of earlier jobs from when they are given a next one: Tune tells once they have taken it.

        One that still starts up is not told from a job that waits for a place, which may take any time.
        """
        for trial in trials:
            taking = trial.trial_id in self._queue.live and trial.temporary_state.ray_actor is not None
            if taking and trial.trial_id not in self._running:
                self._running[trial.trial_id] = _Running(trial, now + LONGEST_STEP_S)

    def _stop(self, now: float) -> None:
        if self._leave_at is None:
            self._leave_at = now + self._resources.grace_s
            for job in self._queue.live.values():
                _ask_to_stop(job)
        if now > self._leave_at:
            raise Leave

    def _look(self, trial_id: str, running: _Running, now: float) -> None:
        job = self._queue.live.get(trial_id)
        if job is None or running.killed:
            return
        sign = Sign.read(job.sign_of_life)
        if sign is not None and sign != running.sign:
            running.since, running.sign = now, sign
            self._supply.heard(job, sign.said)
        running.killed = self._verdict(running, now)
        if running.killed:
            _kill(running.trial)

    def _verdict(self, running: _Running, now: float) -> dict[str, str] | None:
        silence_s, limit_s = self._resources.silence_s, self._resources.stage_limit_s
        if now - running.since > silence_s:
            return {
                "kind": WorkerLost.__name__,
                "message": f"the worker gave no sign of life for {silence_s:g} s",
            }
        if limit_s is not None and running.sign is not None and running.sign.stage_s > limit_s:
            return {
                "kind": TimeLimit.__name__,
                "message": f"stage {running.sign.stage} took longer than --stage-limit-s {limit_s:g}",
            }
        return None


def _ask_to_stop(job: Job) -> None:
    try:
        write_volatile(job.stop_request, "")
    except OSError:
        return  # It is left running at the end of the grace.


def _reason(trial: Any) -> dict[str, str]:
    text = _error_text(trial)
    if "OutOfMemoryError" in text:
        return {
            "kind": OutOfMemory.__name__,
            "message": "the machine ran out of memory; Ray ended the worker",
        }
    if (
        "node" in text
        and ("died" in text or "dead" in text)
        and "NODE_DIED" in text.upper().replace(" ", "_")
    ):
        return {"kind": WorkerLost.__name__, "message": "the node of the worker is gone"}
    return {"kind": WorkerLost.__name__, "message": "the worker process ended without an answer"}


def _error_text(trial: Any) -> str:
    # As text: Ray keeps the exception itself as a pickle, which is nothing to load.
    path = trial.error_file
    return Path(path).read_text(errors="replace") if path and Path(path).is_file() else ""


def _kill(trial: Any) -> None:
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor)
