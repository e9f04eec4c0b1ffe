"""Tune's scheduler: asks the driver whether a trial goes on after an epoch."""

import json
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.jobs import Job, Supply

__all__ = ["RungScheduler"]


class RungScheduler(FIFOScheduler):  # type: ignore[misc]
    """Stops trials that the driver does not want to go on; a worker that is free gets the newest that waits.

    Args:
        supply: the driver.
        live: job of each Tune trial that has no answer yet.
    """

    def __init__(self, supply: Supply, live: dict[str, Job]) -> None:
        super().__init__()
        self._supply, self._live = supply, live

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The newest trial that waits.

        For the others Tune has asked for workers already. Were one of them given a free worker, Tune would kill the
        one that starts up for it: as long as trials are short, every one would cost the start of a process.
        """
        waiting = {t.trial_id: t for t in tune_controller.get_live_trials() if t.status == Trial.PENDING}
        return next((waiting[name] for name in reversed(self._live) if name in waiting), None)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop or go on."""
        job = self._live.get(trial.trial_id)
        if job is None or "epoch" not in result:
            return str(TrialScheduler.CONTINUE)
        # A text, because Tune takes mappings apart.
        goes_on = self._supply.keep_going(job, int(result["epoch"]), json.loads(result["figures"]))
        if goes_on:
            return str(TrialScheduler.CONTINUE)
        # Tune lets a process know with its next trial; where there is none it would train on, export and time.
        trial.temporary_state.ray_actor.halt.remote()
        return str(TrialScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        # Tune saves its scheduler for a restore that never happens here.
        return {}
