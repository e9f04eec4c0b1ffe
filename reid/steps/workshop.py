"""What every step of a trial needs: its configuration, the stage cache, the device lock and a log."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from reid.config import TrialConfig
from reid.files import remove_tree
from reid.outcome import StageReport
from reid.stages import StageCache, stage_key
from reid.stopwatch import NestedWatch, Spent
from reid.timing import DeviceLock
from reid.train import Silent, Watcher

__all__ = ["CHECKPOINT", "Workshop"]

CHECKPOINT = "epoch.ckpt"
"""File in the folder of a stage that trains, from which it goes on after an interruption."""


class Workshop:
    """One trial in the making.

    Attributes:
        config: what was asked.
        lock: of the device that is timed; it holds those that train and prepare as well.
        say: told one line at each step.
        watcher: looks on while a stage trains.
        stages: what was done so far, in order.
        curves: one mapping per trained epoch.
        checks: figures that prove the artifact faithful.
    """

    def __init__(
        self,
        config: TrialConfig,
        cache: StageCache,
        say: Callable[[str], None],
        watcher: Watcher | None = None,
    ) -> None:
        self.config = config
        self.say = say
        self.watcher = watcher or Silent()
        self.lock = DeviceLock(config.target.device, beside=("cpu", *_training_gpu()))
        self.stages: list[StageReport] = []
        self.curves: list[Mapping[str, Any]] = []
        self.checks: dict[str, Any] = {}
        self._cache = cache
        self._watch = NestedWatch()

    def stage(
        self,
        name: str,
        version: int,
        parameters: Mapping[str, Any],
        inputs: tuple[str, ...],
        compute: Callable[[Path], None],
    ) -> tuple[Path, str]:
        """Run a stage through the cache and note it.

        Args:
            name: letters only.
            version: raised whenever the stage's code changes its result.
            parameters: JSON values that matter to the stage, and no others.
            inputs: keys of the stages or data that it reads.
            compute: fills the folder that it is given; a checkpoint in it is kept until all else is there.

        Returns:
            The stage's folder, to be read only, and its key.
        """

        def whole(folder: Path) -> None:
            compute(folder)
            remove_tree(folder / CHECKPOINT)

        key = stage_key(name, version, parameters, inputs)
        with self._watch.work() as spent:
            folder, cached = self._cache.get_or_compute(key, whole)
        self._note(name, key, spent, cached)
        self.say(f"{name}: {'from the cache' if cached else f'{spent.seconds:.1f} s'}")
        return folder, key

    @contextmanager
    def uncached(self, name: str) -> Iterator[None]:
        """Note a stage that is never cached, such as timing."""
        with self._watch.work() as spent:
            yield
        self._note(name, "", spent, cached=False)
        self.say(f"{name}: {spent.seconds:.1f} s")

    def _note(self, name: str, key: str, spent: Spent, cached: bool) -> None:
        times = {"seconds": spent.seconds, "cpu_seconds": spent.cpu_seconds}
        self.stages.append(StageReport(name=name, key=key, cached=cached, **times))


def _training_gpu() -> tuple[str, ...]:
    return ("cuda:0",) if torch.cuda.is_available() else ()
