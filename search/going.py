"""Between a trial's pipeline and its driver: stages are noted, and a trial that is to stop does so after its step."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from reid.stages import StageCache
from reid.train import EpochReport, Progress
from search.contact import Contact

__all__ = ["FINISH_EPOCH_S", "Staged", "StopWatch"]

FINISH_EPOCH_S = 10.0
"""An epoch that needs no longer than this to its checkpoint is finished before a training stops."""


class Staged:
    """A stage cache that notes what is being computed, and begins no stage when the trial is to stop.

    Args:
        cache: does the work.
        contact: to the driver.
    """

    def __init__(self, cache: StageCache, contact: Contact) -> None:
        self._cache, self._contact = cache, contact

    def get_or_compute(self, key: str, compute: Callable[[Path], None]) -> tuple[Path, bool]:
        """As the cache does it; waiting for another trial's work does not count as computing."""

        def noted(folder: Path) -> None:
            self._contact.go_on()
            with self._contact.stage(key):
                compute(folder)

        self._contact.go_on()
        return self._cache.get_or_compute(key, noted)


class StopWatch:
    """A watcher that ends a training after a step when the trial is to stop, if it can after an epoch.

    Args:
        contact: to the driver.
    """

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self._epoch: tuple[str, int] | None = None
        self._began = 0.0

    def early(self, figures: Mapping[str, float], *, trusted: bool) -> None:
        """Nothing."""

    def step(self, stage: str, progress: Progress) -> None:
        """Stop unless the epoch is nearly over.

        Raises:
            Stopped: what the epoch did is lost, the epochs before are not.
        """
        now = time.monotonic()
        if self._epoch != (stage, progress.epoch):
            self._epoch, self._began = (stage, progress.epoch), now
        if self._contact.stopping:
            done = max(1, progress.step - 1)
            left_s = (now - self._began) / done * (progress.steps - progress.step)
            if left_s > FINISH_EPOCH_S or progress.step == 1 < progress.steps:
                self._contact.go_on()

    def epoch(self, stage: str, report: EpochReport) -> None:
        """Stop: the epoch is in its checkpoint.

        Raises:
            Stopped: the rest of the training is done by the next attempt.
        """
        self._contact.go_on()
