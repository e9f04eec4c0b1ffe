"""The worker's process: a Tune trainable that runs one job after another."""

import os
import time
from typing import Any

from ray.tune import Trainable

from search.execute import run_job
from search.jobs import Answer, Job
from search.logs import captured

__all__ = ["Worker"]

_HOLD_S = 1.0


class Worker(Trainable):  # type: ignore[misc]
    """One process that runs jobs; Tune uses it again for the next trial.

    Ray fixes the devices of a process for its life, so they stay the same from trial to trial.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job, and limit the threads and devices of the libraries that are not loaded yet."""
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(config["threads"])
        if not config["gpus"]:
            # Ray leaves all of them visible to a process that asked for none.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._holds = False
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next job."""
        self._job = Job.from_json(new_config["job"])
        return True

    def step(self) -> dict[str, Any]:
        """Run the job; one step is a whole trial.

        After its device failed, the process never ends a trial again: as long as it lives, Ray gives the device
        to nobody else.
        """
        if self._holds:
            time.sleep(_HOLD_S)
            return {"done": False}
        with captured(self._job.log):
            answer = run_job(self._job)
        self._holds = _device_lost(answer)
        return {"done": not self._holds, "answer": answer.to_json()}


def _device_lost(answer: Answer) -> bool:
    return answer.error is not None and answer.error["kind"] == "DeviceLost"
