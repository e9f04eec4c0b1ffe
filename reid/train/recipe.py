"""What a training is asked to do, and what it reports while it runs."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from reid.losses import demand_mixable, parse_loss
from reid.training_settings import TrainingSettings

__all__ = ["EpochReport", "Progress", "Recipe", "Silent", "Watcher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(TrainingSettings):
    """Everything that decides the outcome of a training, apart from network, images and teacher.

    Raises:
        ConfigError: a setting out of range or an unknown loss; names it.
    """

    def __post_init__(self) -> None:
        TrainingSettings.__post_init__(self)  # as in TrialConfig
        parse_loss(self.loss)
        if self.mixup:
            demand_mixable(self.loss)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values of all settings; what was added later is left out where it is off.

        So networks that were trained before it was added are still found in the cache.
        """
        values = dataclasses.asdict(self) | {"milestones": list(self.milestones)}
        return {name: value for name, value in values.items() if name != "mixup" or value}


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """One epoch of training.

    Attributes:
        epoch: counted from 0.
        loss: mean over the steps.
        terms: mean of each term of the loss, weights included; they add up to `loss`.
        images_per_second: images over the time inside the steps; waiting at the gate is left out.
        seconds: the epoch by the clock on the wall, waiting included, evaluation and averaging not.
        learning_rate: of the last step.
        val_mAP: mean average precision on the validation identities, or None where it was not measured.
    """

    epoch: int
    loss: float
    terms: Mapping[str, float] = field(default_factory=dict)
    images_per_second: float
    seconds: float
    learning_rate: float
    val_mAP: float | None = None  # noqa: N815 - the word of records and reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a training is after a step.

    Attributes:
        epoch: that runs, counted from 0.
        epochs: of the whole training.
        step: steps made in this epoch, >= 1.
        steps: of one epoch.
        loss: of this step.
        images_per_second: of this step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    images_per_second: float


class Watcher(Protocol):
    """Looks on while stages train; what it does changes nothing, but an exception of its ends the trial."""

    def early(self, figures: Mapping[str, float], *, trusted: bool) -> None:
        """Once, before anything of a pruned trial's own is trained: latency and size that its channel counts give."""
        ...

    def step(self, stage: str, progress: Progress) -> None:
        """After each step of `stage`, outside the gate."""
        ...

    def epoch(self, stage: str, report: EpochReport) -> None:
        """After each epoch of `stage`, once its checkpoint is written."""
        ...


class Silent:
    """A watcher that does nothing."""

    def early(self, figures: Mapping[str, float], *, trusted: bool) -> None:
        """Nothing."""

    def step(self, stage: str, progress: Progress) -> None:
        """Nothing."""

    def epoch(self, stage: str, report: EpochReport) -> None:
        """Nothing."""
