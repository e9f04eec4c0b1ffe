"""The worker's process: a Tune trainable that runs one job after another."""

import os
from typing import Any

from ray.tune import Trainable

from search.execute import run_job
from search.jobs import Job

__all__ = ["Worker"]


class Worker(Trainable):  # type: ignore[misc]
    """One process that runs jobs; Tune uses it again for the next trial."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job, and limit the threads of the libraries that are not loaded yet."""
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(config["threads"])
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next job."""
        self._job = Job.from_json(new_config["job"])
        return True

    def step(self) -> dict[str, Any]:
        """Run the job; one step is a whole trial."""
        return {"done": True, "answer": run_job(self._job).to_json()}
