"""What a training is asked to do, and what it reports after each epoch."""

from dataclasses import dataclass
from typing import Literal

from reid.errors import ConfigError
from reid.losses import parse_loss

__all__ = ["EpochReport", "Recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the outcome of a training, apart from network and images.

    Attributes:
        epochs: passes over the training images, >= 0.
        learning_rate: peak rate of Adam, > 0.
        warmup_epochs: epochs of linear warm-up, >= 0; at most half of `epochs` is spent on it.
        identities_per_batch: P of PxK sampling, >= 2.
        images_per_identity: K of PxK sampling, >= 2.
        loss: terms of `reid.losses.LOSSES` joined by "+".
        precision: of the forward pass: "fp32", "bf16", or "auto" for bf16 where it is faster.
        seed: of sampling and augmentation, >= 0.
    """

    epochs: int
    learning_rate: float
    warmup_epochs: int
    identities_per_batch: int
    images_per_identity: int
    loss: str = "triplet+softmax"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ConfigError(f"precision must be auto, fp32 or bf16, got {self.precision!r}")
        parse_loss(self.loss)


_LEAST = {"epochs": 0, "warmup_epochs": 0, "identities_per_batch": 2, "images_per_identity": 2, "seed": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """One epoch of training.

    Attributes:
        epoch: counted from 0.
        loss: mean over the steps.
        images_per_second: images over the time inside the steps; waiting at the gate is left out.
        seconds: the epoch by the clock on the wall, waiting included.
        learning_rate: of the last step.
    """

    epoch: int
    loss: float
    images_per_second: float
    seconds: float
    learning_rate: float
