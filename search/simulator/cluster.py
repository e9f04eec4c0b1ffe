"""Workers that exist in a virtual time only; they stand where `search.runner` has Ray's."""

import heapq
import itertools
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reid.config import Limit, broken
from reid.errors import ConfigError, WorkerLost
from reid.files import write_json
from search.jobs import Answer, Job, Resources, Supply
from search.simulator.faults import Faults
from search.simulator.landscape import Landscape

__all__ = ["DriverKilled", "SimulatedCluster"]

_Play = Generator[float, None, Answer]

_EARLY_SHARE = 0.02  # of a trial's time goes into timing the slim network, before any training


class DriverKilled(BaseException):
    """The driver's process ended here; like a signal, nothing in the driver may catch it."""


@dataclass(kw_only=True)
class SimulatedCluster:
    """Runs jobs as `search.runner.run_jobs` does, with figures of a landscape and time that costs nothing.

    Attributes:
        landscape: what trials measure and how long they take.
        workers: trials at once, >= 1.
        faults: what goes wrong.
        kill_every_s: virtual seconds between two deaths of the driver; None lets it live.
        artifacts: whether trials leave an exported file; without, a study of 10,000 trials is 10,000 files.
        clock_s: virtual seconds since the first trial.
        epochs: training epochs run by all trials together.
        answers: (number, attempt) of every answer given.
    """

    landscape: Landscape
    workers: int = 1
    faults: Faults = field(default_factory=Faults)
    kill_every_s: float | None = None
    artifacts: bool = False
    clock_s: float = 0.0
    epochs: int = 0
    answers: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"--workers must be at least 1, got {self.workers}")
        if self.kill_every_s is not None and self.kill_every_s <= 0:
            raise ConfigError(f"the driver must live for some time, got {self.kill_every_s} s")

    def run_jobs(self, supply: Supply, resources: Resources) -> None:
        """Run what `supply` gives until it is finished or abandoned.

        Raises:
            DriverKilled: `kill_every_s` have passed; the same search again resumes, and the clock goes on.
        """
        order = itertools.count()
        death_s = None if self.kill_every_s is None else self.clock_s + self.kill_every_s
        running: list[tuple[float, int, Job, _Play]] = []
        while not supply.abandoned:
            while len(running) < self.workers and (job := supply.take()) is not None:
                heapq.heappush(running, (self.clock_s, next(order), job, self._play(job, resources, supply)))
            if not running:
                return
            until_s, _, job, play = heapq.heappop(running)
            if death_s is not None and until_s > death_s:
                self.clock_s = death_s
                raise DriverKilled
            self.clock_s = until_s
            try:
                heapq.heappush(running, (until_s + next(play), next(order), job, play))
            except StopIteration as end:
                self.answers.append((job.number, job.attempt))
                supply.settle(job, end.value)

    def _play(self, job: Job, resources: Resources, supply: Supply) -> "_Play":
        """A job's virtual seconds one after the other, and its answer in the end."""
        worker = {"host": "simulated", "device": "simulated"}
        fault, share = self.faults.of(job.number, job.attempt) or (None, 1.0)
        if fault in ("raise", "kill", "hang"):
            silent = resources.silence_s if fault == "hang" else 0.0
            yield self.landscape.seconds * share + silent
            kind, what = ("RuntimeError", "fault") if fault == "raise" else (WorkerLost.__name__, fault)
            return Answer(error={"kind": kind, "message": f"a simulated {what}"}, worker=worker)
        outcome = yield from self._train(job, supply)
        if fault == "nan":
            outcome = {**outcome, "metrics": {**outcome["metrics"], "mAP": float("nan")}}
        elif fault == "torn":
            # What a crash amid writing leaves: the outcome names a folder whose files are not there.
            outcome = {**outcome, "artifact": str(job.work / "torn")}
        return Answer(outcome=outcome, worker=worker)

    def _train(self, job: Job, supply: Supply) -> Generator[float, None, dict[str, Any]]:
        config, seconds = job.payload["config"], self.landscape.seconds
        if job.number < 0:
            yield seconds
            return self._outcome(job, dict(self.landscape.baseline), "complete", [])
        figures = self.landscape.figures(config)
        yield _EARLY_SHARE * seconds
        early = {"latency_ms": figures["latency_ms"]}
        limits = [Limit(**limit) for limit in job.payload["limits"]]
        if violations := broken(limits, early, trusted=True):
            return {**self._outcome(job, early, "infeasible", []), "violations": violations}
        epoch_s, curve = (1 - _EARLY_SHARE) * seconds / self.landscape.epochs, []
        every = config["validate_every"] if job.payload["early_stopping"] else 0
        for epoch in range(every, self.landscape.epochs, every) if every else ():
            yield every * epoch_s
            now = {**figures, "mAP": self.landscape.map_after(config, epoch)}
            curve.append({"stage": "finetune", "epoch": epoch - 1, "val_mAP": now["mAP"]})
            if not supply.keep_going(job, epoch, now):
                self.epochs += epoch
                return self._outcome(job, now, "stopped", curve)
        yield (self.landscape.epochs - len(curve) * every) * epoch_s
        self.epochs += self.landscape.epochs
        return self._outcome(job, figures, "complete", curve)

    def _outcome(
        self, job: Job, metrics: dict[str, float], status: str, curve: list[dict[str, Any]]
    ) -> dict[str, Any]:
        artifact = _artifact(job.work, metrics) if self.artifacts and status == "complete" else None
        return {
            "status": status,
            "metrics": metrics,
            "latency_trusted": True,
            "violations": {},
            "curves": curve,
            "artifact": None if artifact is None else str(artifact),
            "protocol": "simulated",
        }


def _artifact(work: Path, metrics: dict[str, float]) -> Path:
    folder = work / "artifact"
    folder.mkdir()
    write_json(folder / "model.json", metrics)
    return folder
