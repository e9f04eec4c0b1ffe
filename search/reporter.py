"""Tells the driver how a trial does from epoch to epoch, so that it may be stopped early."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from reid.train import EpochReport, Progress
from search.contact import Contact
from search.going import StopWatch

__all__ = ["Reporter"]

_STAGE = "finetune"
"""The stage whose evaluated epochs are compared: what comes before is not the network that is delivered."""


class Reporter(StopWatch):
    """A stop watch that reports evaluated epochs of finetuning, with the figures known before training.

    Args:
        contact: to the driver.
    """

    def __init__(self, contact: Contact) -> None:
        super().__init__(contact)
        self._known: dict[str, float] = {}
        self._trusted = False
        self._epochs = 0
        self._curves: list[dict[str, Any]] = []

    def early(self, figures: Mapping[str, float], *, trusted: bool) -> None:
        """Keep what is known of the trial before it trains."""
        self._known, self._trusted = dict(figures), trusted

    def step(self, stage: str, progress: Progress) -> None:
        """Note how long the stage is; stop where the driver asked for it.

        Raises:
            Stopped: what the epoch did is lost, the epochs before are not.
        """
        self._epochs = progress.epochs
        super().step(stage, progress)

    def epoch(self, stage: str, report: EpochReport) -> None:
        """Report, and stop where the driver asked for it.

        Raises:
            Stopped: the rest of the training is done by the next attempt, if there is one.
        """
        self._curves.append({"stage": stage, **asdict(report)})
        # After its last epoch a trial has nothing left to save.
        going = stage == _STAGE and report.epoch + 1 < self._epochs
        if going and report.val_mAP is not None and self._known:
            figures = {**self._known, "mAP": report.val_mAP}
            self._contact.report(report.epoch + 1, figures, self._so_far(figures))
        super().epoch(stage, report)

    def _so_far(self, figures: Mapping[str, float]) -> dict[str, Any]:
        seconds: dict[str, float] = {}
        for row in self._curves:
            seconds[row["stage"]] = seconds.get(row["stage"], 0.0) + row["seconds"]
        return {
            "status": "stopped",
            "metrics": dict(figures),
            "latency_trusted": self._trusted,
            "stages": [
                {"name": name, "key": "", "seconds": spent, "cached": False}
                for name, spent in seconds.items()
            ],
            "curves": list(self._curves),
            "checks": {"early_latency_ms": self._known["latency_ms"]},
        }
