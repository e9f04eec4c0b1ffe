"""Workers that exist in a virtual time only; they stand where `search.runner` has Ray's."""

import heapq
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from reid.config import Limit
from reid.errors import ConfigError
from reid.files import write_json
from search.jobs import Answer, Job, Resources, Supply
from search.simulator.faults import Faults
from search.simulator.landscape import Landscape

__all__ = ["DriverKilled", "Scheduler", "SimulatedCluster"]

_EARLY_SHARE = 0.02  # of a trial's time goes into timing the slim network, before any training


class DriverKilled(BaseException):
    """The driver's process ended here; like a signal, nothing in the driver may catch it."""


class Scheduler(Protocol):
    """Decides which trials are worth their remaining epochs."""

    def on_epoch(self, number: int, epoch: int, mAP: float, latency_ms: float) -> bool:  # noqa: N803
        """Whether a trial goes on after an epoch."""
        ...


@dataclass(kw_only=True)
class SimulatedCluster:
    """Runs jobs as `search.runner.run_jobs` does, with figures of a landscape and time that costs nothing.

    Attributes:
        landscape: what trials measure and how long they take.
        workers: trials at once, >= 1.
        faults: what goes wrong.
        scheduler: stops trials early; None lets every trial end.
        kill_every_s: virtual seconds between two deaths of the driver; None lets it live.
        artifacts: whether trials leave an exported file; without, a study of 10,000 trials is 10,000 files.
        clock_s: virtual seconds since the first trial.
        epochs: training epochs run by all trials together.
        answers: (number, attempt) of every answer given.
    """

    landscape: Landscape
    workers: int = 1
    faults: Faults = field(default_factory=Faults)
    scheduler: Scheduler | None = None
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
        running: list[tuple[float, int, Job, Answer]] = []
        while not supply.abandoned:
            while len(running) < self.workers and (job := supply.take()) is not None:
                seconds, answer = self._run(job, resources)
                heapq.heappush(running, (self.clock_s + seconds, next(order), job, answer))
            if not running:
                return
            until_s, _, job, answer = heapq.heappop(running)
            if death_s is not None and until_s > death_s:
                self.clock_s = death_s
                raise DriverKilled
            self.clock_s = until_s
            self.answers.append((job.number, job.attempt))
            supply.settle(job, answer)

    def _run(self, job: Job, resources: Resources) -> tuple[float, Answer]:
        """Virtual seconds of a job, and its answer."""
        worker = {"host": "simulated", "device": "simulated"}
        seconds, outcome = self._outcome(job)
        struck = self.faults.of(job.number, job.attempt)
        if struck is None:
            return seconds, Answer(outcome=outcome, worker=worker)
        fault, share = struck
        if fault == "nan":
            outcome = {**outcome, "metrics": {**outcome["metrics"], "mAP": float("nan")}}
            return seconds, Answer(outcome=outcome, worker=worker)
        if fault == "torn":
            # What a crash amid writing leaves: the outcome names a folder whose files are not there.
            return seconds, Answer(outcome={**outcome, "artifact": str(job.work / "torn")}, worker=worker)
        if fault == "raise":
            error = {"kind": "RuntimeError", "message": "a simulated fault"}
            return seconds * share, Answer(error=error, worker=worker)
        silent = resources.silence_s if fault == "hang" else 0.0
        error = {"kind": "WorkerLost", "message": f"a simulated {fault}"}
        return seconds * share + silent, Answer(error=error, worker=worker)

    def _outcome(self, job: Job) -> tuple[float, dict[str, Any]]:
        config = job.payload["config"]
        if job.number < 0:
            return self.landscape.seconds, self._answer(job, dict(self.landscape.baseline), "complete", [])
        figures = self.landscape.figures(config)
        early_s = _EARLY_SHARE * self.landscape.seconds
        broken = _broken(job, figures["latency_ms"])
        if broken:
            early = {"latency_ms": figures["latency_ms"]}
            return early_s, {**self._answer(job, early, "infeasible", []), "violations": broken}
        curve = self._train(job.number, config, figures["latency_ms"])
        status = "complete" if len(curve) == self.landscape.epochs else "stopped"
        metrics = figures if status == "complete" else {**figures, "mAP": curve[-1]["val_mAP"]}
        seconds = early_s + (1 - _EARLY_SHARE) * self.landscape.seconds * len(curve) / self.landscape.epochs
        return seconds, self._answer(job, metrics, status, curve)

    def _train(self, number: int, config: dict[str, Any], latency_ms: float) -> list[dict[str, Any]]:
        curve: list[dict[str, Any]] = []
        for epoch in range(1, self.landscape.epochs + 1):
            value = self.landscape.map_after(config, epoch)
            curve.append({"stage": "finetune", "epoch": epoch - 1, "val_mAP": value})
            if (
                epoch < self.landscape.epochs
                and self.scheduler is not None
                and not self.scheduler.on_epoch(number, epoch, value, latency_ms)
            ):
                break
        self.epochs += len(curve)
        return curve

    def _answer(
        self, job: Job, metrics: dict[str, float], status: str, curve: list[dict[str, Any]]
    ) -> dict[str, Any]:
        return {
            "status": status,
            "metrics": metrics,
            "latency_trusted": True,
            "violations": {},
            "curves": curve if self.scheduler is not None else [],
            "artifact": str(_artifact(job.work, metrics))
            if self.artifacts and status == "complete"
            else None,
            "protocol": "simulated",
        }


def _broken(job: Job, latency_ms: float) -> dict[str, float]:
    limits = [Limit(**limit) for limit in job.payload["limits"]]
    return {
        str(limit): limit.excess(latency_ms)
        for limit in limits
        if limit.metric == "latency_ms" and limit.excess(latency_ms) > 0
    }


def _artifact(work: Path, metrics: dict[str, float]) -> Path:
    folder = work / "artifact"
    folder.mkdir()
    write_json(folder / "model.json", metrics)
    return folder
