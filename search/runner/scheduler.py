"""Tune's scheduler: asks the driver whether a trial goes on after an epoch."""

import json
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.jobs import Job, Supply

__all__ = ["RungScheduler"]


class RungScheduler(FIFOScheduler):  # type: ignore[misc]
    """Stops trials that the driver does not want to go on; starts them in the order in which they come.

    Args:
        supply: the driver.
        live: job of each Tune trial that has no answer yet.
    """

    def __init__(self, supply: Supply, live: dict[str, Job]) -> None:
        super().__init__()
        self._supply, self._live = supply, live

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop or go on."""
        job = self._live.get(trial.trial_id)
        if job is None or "epoch" not in result:
            return str(TrialScheduler.CONTINUE)
        # A text, because Tune takes mappings apart.
        goes_on = self._supply.keep_going(job, int(result["epoch"]), json.loads(result["figures"]))
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        # Tune saves its scheduler for a restore that never happens here.
        return {}
