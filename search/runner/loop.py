"""The driver's side: a Tune searcher and a callback between the supply of jobs and Ray's workers."""

import logging
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune import Callback, CheckpointConfig, RunConfig, TuneConfig, Tuner
from ray.tune.search import Searcher

from reid.errors import NoDevice
from reid.files import read_json
from search.jobs import Answer, Job, Resources, Supply
from search.runner.worker import Worker

__all__ = ["run"]

_LOOK_EVERY_S = 0.5


def run(supply: Supply, resources: Resources, folder: Path) -> None:
    """Run jobs on the connected cluster until the supply is finished or abandoned.

    Raises:
        NoDevice: the cluster cannot hold a single trial.
    """
    at_once = _capacity(resources)
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    searcher = _Queue(supply, resources)
    tuner = Tuner(
        tune.with_resources(Worker, {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}),
        tune_config=TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            max_concurrent_trials=at_once,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=str(folder),
            verbose=0,
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
            callbacks=[_Watch(searcher, supply, resources.silence_s)],
        ),
    )
    try:
        tuner.fit()
    except _Leave:
        return
    finally:
        searcher.closed = True


class _Leave(BaseException):
    """Unwinds Tune's loop at once; not an Exception, because Tune would then wait for its workers to end."""


class _Unsaved:
    """Pickles as nothing: Tune saves what it is given for a restore that never happens here."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Queue(_Unsaved, Searcher):  # type: ignore[misc]
    """Suggests the driver's jobs.

    Attributes:
        live: job of each Tune trial that has no answer yet.
        closed: set when Tune is left; nothing is settled any more.
    """

    def __init__(self, supply: Supply, resources: Resources) -> None:
        super().__init__()
        self.live: dict[str, Job] = {}
        self.closed = False
        self._supply = supply
        self._threads = resources.cpus_per_trial

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job, nothing for now, or the word that there will be none."""
        if self._supply.finished:
            return str(Searcher.FINISHED)
        try:
            job = self._supply.take()
        except Exception as error:
            # Tune would swallow it.
            self._supply.fail(error)
            return str(Searcher.FINISHED)
        if job is None:
            return None
        self.live[trial_id] = job
        return {"job": job.to_json(), "threads": self._threads}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Hand an answer over; what was lost comes through `_Watch`, which knows why."""
        if not error and result is not None and "answer" in result:
            self.settle(trial_id, Answer.from_json(result["answer"]))

    def settle(self, trial_id: str, answer: Answer) -> None:
        """Hand the answer of a live trial to the driver, once."""
        job = self.live.pop(trial_id, None)
        if job is not None and not self.closed:
            self._supply.settle(job, answer)

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Save nothing: the study's records are all there is to resume from."""


class _Watch(_Unsaved, Callback):  # type: ignore[misc]
    """Looks after running workers: reports the dead, kills the silent, and leaves when told to."""

    def __init__(self, queue: _Queue, supply: Supply, silence_s: float) -> None:
        self._queue = queue
        self._supply = supply
        self._silence_s = silence_s
        self._running: dict[str, tuple[Any, float, Any]] = {}
        self._killed: set[str] = set()
        self._next_look = 0.0

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Between two events of Tune's loop, at least ten times a second."""
        if self._supply.abandoned:
            raise _Leave
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_EVERY_S
            for trial_id in list(self._running):
                self._look(trial_id, now)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker took a job."""
        self._running[trial.trial_id] = (trial, time.monotonic(), None)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A job was answered."""
        self._running.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker is gone without an answer."""
        self._running.pop(trial.trial_id, None)
        self._queue.settle(trial.trial_id, Answer(error=self._reason(trial)))

    def _look(self, trial_id: str, now: float) -> None:
        trial, since, seen = self._running[trial_id]
        job = self._queue.live.get(trial_id)
        if job is None:
            return
        sign = _read_sign(job)
        if sign is not None and sign != seen:
            self._running[trial_id] = (trial, now, sign)
            self._supply.heard(job, str(sign.get("said", "")))
        elif now - since > self._silence_s and trial_id not in self._killed:
            self._killed.add(trial_id)
            _kill(trial)

    def _reason(self, trial: Any) -> dict[str, str]:
        if trial.trial_id in self._killed:
            return {
                "kind": "WorkerLost",
                "message": f"the worker gave no sign of life for {self._silence_s:g} s",
            }
        if "OutOfMemoryError" in _error_text(trial):
            return {"kind": "ResourceError", "message": "the machine ran out of memory; Ray ended the worker"}
        return {"kind": "WorkerLost", "message": "the worker process ended without an answer"}


def _capacity(resources: Resources) -> int:
    have = ray.cluster_resources()
    fits = [int(have.get("CPU", 0) // resources.cpus_per_trial)]
    if resources.gpus_per_trial > 0:
        fits.append(int(have.get("GPU", 0) // resources.gpus_per_trial))
    if min(fits) < 1:
        raise NoDevice(
            f"a trial needs {resources.cpus_per_trial} CPUs and {resources.gpus_per_trial:g} GPUs; the cluster has "
            f"{have.get('CPU', 0):g} and {have.get('GPU', 0):g}"
        )
    return min(fits) if resources.max_concurrent is None else min(min(fits), resources.max_concurrent)


def _read_sign(job: Job) -> dict[str, Any] | None:
    try:
        sign = read_json(job.sign_of_life)
    except (OSError, ValueError):
        return None
    return sign if isinstance(sign, dict) else None


def _error_text(trial: Any) -> str:
    # As text: Ray keeps the exception itself as a pickle, which is nothing to load.
    path = trial.error_file
    return Path(path).read_text(errors="replace") if path and Path(path).is_file() else ""


def _kill(trial: Any) -> None:
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor)
