"""The worker's process: a Tune trainable that runs one job after another."""

import json
import os
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

from ray.tune import Trainable

from reid.errors import DeviceLost, WorkerLost
from search.execute import run_job, told
from search.jobs import Answer, Job
from search.logs import captured
from search.runner.shared_memory import track_apart

__all__ = ["LONGEST_STEP_S", "Worker"]

_HOLD_S = 1.0
LONGEST_STEP_S = 120.0
"""How long a job that is to stop may take to its next step."""


class Worker(Trainable):  # type: ignore[misc]
    """One process that runs jobs; Tune uses it again for the next trial.

    Ray fixes the devices of a process for its life, so they stay the same from trial to trial.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job, and limit the threads and devices of the libraries that are not loaded yet."""
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(config["threads"])
        track_apart()
        if not config["gpus"]:
            # Ray leaves all of them visible to a process that asked for none.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._holds = False
        self._run: _Run | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next job, once a stopped one has ended; a process in which it does not is used no more.

        Raises:
            WorkerLost: it does not. Tune would tell nobody of a False.
        """
        if not self._end():
            raise WorkerLost(f"the job before did not end its step within {LONGEST_STEP_S:g} s")
        self._job = Job.from_json(new_config["job"])
        return True

    def halt(self) -> None:
        """Make what runs end after its running step; not waited for, so that the driver may call it at any time."""
        if self._run is not None:
            self._run.halt()

    def cleanup(self) -> None:
        """End what runs."""
        self._end()

    def step(self) -> dict[str, Any]:
        """The next thing that the job says: an evaluated epoch, or its answer.

        After its device failed, the process never ends a trial again: as long as it lives, Ray gives the device
        to nobody else.
        """
        if self._holds:
            time.sleep(_HOLD_S)
            return {"done": False}
        if self._run is None:
            self._run = _Run(self._job)
        said = self._run.next()
        if isinstance(said, Answer):
            self._holds = _device_lost(said)
            return {"done": not self._holds, "answer": said.to_json()}
        return {"done": False, **said}

    def _end(self) -> bool:
        ended = self._run is None or self._run.end()
        self._run = None
        return ended


class _Run:
    """A job in a thread, so that Tune hears of its epochs and may stop it in between."""

    def __init__(self, job: Job) -> None:
        self._said: queue.Queue[Answer | dict[str, Any]] = queue.Queue()
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(job,), name="job", daemon=True)
        self._thread.start()

    def next(self) -> Answer | dict[str, Any]:
        """Wait for what the job says next."""
        return self._said.get()

    def halt(self) -> None:
        """Make the job end after its running step; not waited for."""
        self._halt.set()

    def end(self) -> bool:
        """Make the job end after its running step; whether it did in time."""
        self.halt()
        self._thread.join(LONGEST_STEP_S)
        return not self._thread.is_alive()

    def _work(self, job: Job) -> None:
        try:
            with captured(job.log):
                answer = run_job(job, report=self._report, halt=self._halt)
        except BaseException as error:
            # A plug-in may call sys.exit; whatever it is, the driver waits for an answer.
            answer = Answer(error=told(error))
        self._said.put(answer)

    def _report(self, epoch: int, figures: Mapping[str, float], so_far: Answer) -> None:
        self._said.put({"epoch": epoch, "figures": json.dumps(dict(figures)), "so_far": so_far.to_json()})


def _device_lost(answer: Answer) -> bool:
    return answer.error is not None and answer.error["kind"] == DeviceLost.__name__
