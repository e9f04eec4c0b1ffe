"""Training curves as TensorBoard reads them."""

from pathlib import Path
from typing import Any

from reid.train.recipe import EpochReport, Silent

__all__ = ["CurveWriter"]


class CurveWriter(Silent):
    """Appends to TensorBoard event files, one tag per stage and figure, one point per epoch.

    Events are a log of TensorBoard's own, not a fact of the trial: an epoch repeated after a crash stands there
    twice.

    Args:
        folder: made if need be; every writer adds a file of its own with its first epoch.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def epoch(self, stage: str, report: EpochReport) -> None:
        """Write the figures of an epoch, counted from 1, durably enough to survive the process."""
        figures = {
            "loss": report.loss,
            **{f"loss of {name}": value for name, value in report.terms.items()},
            "learning rate": report.learning_rate,
            "images per second": report.images_per_second,
        }
        if report.val_mAP is not None:
            figures["validation mAP"] = report.val_mAP
        for name, value in figures.items():
            tag = f"{stage}/{name.replace(' ', '_')}"
            self._open().add_scalar(tag, value, report.epoch + 1)
        self._open().flush()

    def close(self) -> None:
        """Finish the file, if there is one."""
        if self._writer is not None:
            self._writer.close()

    def _open(self) -> Any:
        if self._writer is None:
            # Takes a second to import, which a search would spend in vain.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder))
        return self._writer
