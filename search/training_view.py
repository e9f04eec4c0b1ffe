"""How a training looks while it runs: a bar on a terminal, and curves for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from reid.train import EpochReport
from reid.train import Progress as Place
from reid.train.curves import CurveWriter

__all__ = ["TrainingView"]


class TrainingView:
    """A watcher for the time of a `with` block.

    Args:
        console: where a bar is drawn if it is a terminal; lines printed there meanwhile stand above the bar.
        curves: folder for TensorBoard's events.
    """

    def __init__(self, console: Console, curves: Path) -> None:
        self._curves = CurveWriter(curves)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[speed]:.0f} images/s, loss {task.fields[loss]:.3f}, left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._curves.close()

    def early(self, figures: Mapping[str, float], *, trusted: bool) -> None:
        """Nothing: the result tells them."""

    def step(self, stage: str, progress: Place) -> None:
        """Move the bar of `stage`."""
        done = progress.epoch * progress.steps + progress.step
        text = f"{stage}, epoch {progress.epoch + 1} of {progress.epochs}"
        figures: dict[str, Any] = {"speed": progress.images_per_second, "loss": progress.loss}
        if stage not in self._tasks:
            # A resumed training starts where it left off, or the time that is left would be far too short.
            self._tasks[stage] = self._bar.add_task(
                text, total=progress.epochs * progress.steps, completed=done, **figures
            )
        self._bar.update(self._tasks[stage], completed=done, description=text, **figures)

    def epoch(self, stage: str, report: EpochReport) -> None:
        """Add the epoch to the curves."""
        self._curves.epoch(stage, report)
