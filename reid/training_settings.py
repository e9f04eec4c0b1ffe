"""The settings of a training, shared by the configuration of a trial and the recipe of the trainer."""

import dataclasses
import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from reid.errors import ConfigError

__all__ = ["TrainingSettings", "coerce", "demand", "demand_choices"]


def demand(holds: bool, name: str, value: object, wanted: str) -> None:
    """Refuse a value.

    Raises:
        ConfigError: names the setting, what it must be and what it is.
    """
    if not holds:
        raise ConfigError(f"{name} must be {wanted}, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How a network is trained; the defaults are those of a trial.

    Attributes:
        loss: terms of `reid.losses.LOSSES` joined by "+", each with an optional weight: "softmax+0.5*circle".
        label_smoothing: share of the target that softmax spreads over all identities, in [0, 1).
        epochs: passes over the training images, >= 0.
        learning_rate: peak rate, > 0.
        backbone_rate: factor on the rate of everything but head, classifier and loss, >= 0; 0 freezes its weights, not
            the statistics of its normalisations.
        warmup_epochs: epochs of linear warm-up, >= 0; at most half of `epochs` is spent on it.
        schedule: of the rate after the warm-up: half a cosine down to a hundredth, steps of a tenth, or none.
        milestones: epochs after which schedule "step" multiplies the rate by a tenth, rising, >= 1; each training
            counts its own.
        optimizer: "adam" and "sgd" (Nesterov, momentum 0.9) decay weights through the gradient, "adamw"
            decays them apart from it.
        weight_decay: >= 0.
        clip_norm: largest Euclidean norm of all gradients together, 0 = off.
        sampler: "pk" draws P identities with K images each, "class-balanced" every identity as often as any
            other, "random" every image once an epoch.
        identities_per_batch: P of sampler "pk", >= 2.
        images_per_identity: K of sampler "pk", >= 2.
        batch_size: images of a batch of the other samplers, >= 2.
        flip: probability of the mirror image.
        pad_crop: zero padding before the random crop, in pixels of a 256x128 image and as much of any other
            size, 0 to 64.
        erasing: probability of a random rectangle of the mean colour.
        colour_jitter: brightness, contrast and saturation are multiplied by up to 1 ± this, in [0, 1].
        hue: colours are turned by up to this share of the colour circle, in [0, 0.5].
        grayscale: probability of a random rectangle in shades of grey.
        mixup: probability that an image is blended with another of its batch; for distillation terms alone.
        ema_decay: of the moving average of the weights, per step, in [0, 1); 0 = off.
        ema_start: share of the epochs after which averaging begins, in [0, 1).
        validate_every: epochs between two evaluations on the validation identities, 0 = never; the last epoch
            is evaluated too.
        patience: evaluations without a new best mAP after which training stops, 0 = never.
        keep: "last" or "best": the epoch whose weights are the outcome.
        precision: of the forward pass under autocast; "auto" is bf16 where the device gains from it.
        compile: run the forward pass through torch.compile.
        seed: of everything random, 0 to 2⁶³ - 1.
    """

    loss: str = "triplet+softmax"
    label_smoothing: float = 0.1
    epochs: int = 20
    learning_rate: float = 3.5e-4
    backbone_rate: float = 1.0
    warmup_epochs: int = 2
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: tuple[int, ...] = ()
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float = 5e-4
    clip_norm: float = 0.0
    sampler: Literal["pk", "class-balanced", "random"] = "pk"
    identities_per_batch: int = 16
    images_per_identity: int = 4
    batch_size: int = 64
    flip: float = 0.5
    pad_crop: float = 10.0
    erasing: float = 0.5
    colour_jitter: float = 0.0
    hue: float = 0.0
    grayscale: float = 0.0
    mixup: float = 0.0
    ema_decay: float = 0.0
    ema_start: float = 0.8
    validate_every: int = 0
    patience: int = 0
    keep: Literal["last", "best"] = "last"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        demand_choices(self)
        for name, least in _LEAST.items():
            demand(getattr(self, name) >= least, name, getattr(self, name), f"at least {least}")
        for name in ("flip", "erasing", "grayscale", "colour_jitter", "mixup"):
            demand(0 <= getattr(self, name) <= 1, name, getattr(self, name), "between 0 and 1")
        for name in ("ema_decay", "ema_start", "label_smoothing"):
            demand(0 <= getattr(self, name) < 1, name, getattr(self, name), "0 <= value < 1")
        for name in ("weight_decay", "clip_norm", "backbone_rate"):
            demand(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "a number of at least 0")
        demand(0 < self.learning_rate < math.inf, "learning_rate", self.learning_rate, "above 0")
        demand(0 <= self.pad_crop <= 64, "pad_crop", self.pad_crop, "between 0 and 64")
        demand(0 <= self.hue <= 0.5, "hue", self.hue, "between 0 and 0.5")
        demand(self.seed <= _MOST_SEED, "seed", self.seed, f"at most {_MOST_SEED}")
        self._check_combinations()

    def _check_combinations(self) -> None:
        rising = (
            list(self.milestones) == sorted({*self.milestones} - {0}) and min(self.milestones, default=1) > 0
        )
        demand(rising, "milestones", list(self.milestones), "rising epochs of at least 1")
        if (self.schedule == "step") != bool(self.milestones):
            raise ConfigError(
                f"schedule {self.schedule} with milestones {list(self.milestones)}: "
                "schedule step needs milestones, the others take none"
            )
        for name, unset in (("patience", 0), ("keep", "last")):
            if getattr(self, name) != unset and not self.validate_every:
                raise ConfigError(f"{name} {getattr(self, name)} needs validate_every of at least 1")


_MOST_SEED = 2**63 - 1
_LEAST = {
    "epochs": 0, "warmup_epochs": 0, "identities_per_batch": 2, "images_per_identity": 2, "batch_size": 2,
    "validate_every": 0, "patience": 0, "seed": 0,
}  # fmt: skip


def demand_choices(settings: Any) -> None:
    """Refuse values of a dataclass that its `Literal` fields do not list.

    Raises:
        ConfigError: names the first such setting and its choices.
    """
    for name, hint in _hints(type(settings)).items():  # type: ignore[arg-type]
        if get_origin(hint) is Literal:
            *most, last = get_args(hint)
            value = getattr(settings, name)
            demand(value in get_args(hint), name, value, f"{', '.join(most)} or {last}")


def coerce(owner: type[Any], name: str, value: Any, *, place: str = "") -> Any:
    """A plain value, e.g. out of YAML, as the field `name` of a dataclass holds it.

    Whole numbers are taken for fractions, lists for tuples; nothing else is converted. Errors name the setting with
    `place` before it.

    Raises:
        ConfigError: a value of another type; names the setting.
    """
    hint = _hints(owner)[name]  # type: ignore[arg-type]
    kinds = get_args(hint) if type(None) in get_args(hint) else (hint,)
    if get_origin(hint) is Literal:
        kinds = (str,)
    if value is None and type(None) in kinds:
        return None
    if any(get_origin(kind) is tuple for kind in kinds):
        if isinstance(value, list | tuple) and all(type(item) is int for item in value):
            return tuple(value)
        raise ConfigError(f"{place}{name} must be a list of whole numbers, got {value!r}")
    if float in kinds and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise ConfigError(f"{place}{name} has too many digits for a number") from error
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigError(f"{place}{name} must be {names}, got {value!r}")
    return value


@cache
def _hints(owner: type[Any]) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(owner)}
    return {name: hint for name, hint in get_type_hints(owner).items() if name in fields}
