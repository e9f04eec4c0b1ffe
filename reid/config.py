"""What a trial is asked to do: one frozen dataclass that is both configuration and its documentation."""

import dataclasses
import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from reid.errors import ConfigError
from reid.pruning_settings import PruningSettings
from reid.training_settings import coerce, demand, demand_choices

__all__ = ["Limit", "Target", "TrialConfig", "broken", "demand_size", "reject_unknown"]


def reject_unknown(given: Collection[str], known: Collection[str], what: str) -> None:
    """Refuse names that are not known, and suggest the nearest.

    Raises:
        ConfigError: names the first unknown one, and lists the known.
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), list(known), n=1)
            hint = f"; did you mean {near[0]}?" if near else ";"
            raise ConfigError(f"unknown {what} {name!r}{hint} known: {', '.join(sorted(known))}")


def demand_size(input_size: tuple[int, ...]) -> None:
    """Refuse a size that no network is given.

    Args:
        input_size: (height, width) in pixels.

    Raises:
        ConfigError: no two sides, or one out of range.
    """
    sides = (*input_size, 0, 0)
    demand(
        len(input_size) == 2 and 32 <= sides[0] <= 1024 and 16 <= sides[1] <= 1024,
        "input_size",
        list(input_size),
        "(height, width) between (32, 16) and (1024, 1024)",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Runtime and device on which latency is measured.

    Attributes:
        runtime: name in `reid.runtime.RUNTIMES`.
        device: "cpu" or "cuda:N".
        threads: threads of one inference, 1 to 1024.
        batch: images per call, 1 to 4096.
        affinity: cores that inference runs on, as the system numbers them; at least as many as threads. None leaves
            that to the system.
    """

    runtime: str = "onnxruntime"
    device: str = "cpu"
    threads: int = 1
    batch: int = 1
    affinity: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            demand(value >= 1, f"target.{name}", value, "at least 1")
            demand(value <= most, f"target.{name}", value, f"at most {most}")
        known = re.fullmatch(r"cpu|cuda:[0-9]+", self.device)
        demand(bool(known), "target.device", self.device, "cpu or cuda:N")
        if self.affinity is not None:
            cores = set(self.affinity)
            distinct = len(cores) == len(self.affinity) and min(cores, default=-1) >= 0
            demand(distinct, "target.affinity", list(self.affinity), "different cores, 0 or above")
            enough = f"at least target.threads = {self.threads} cores"
            demand(len(cores) >= self.threads, "target.affinity", list(self.affinity), enough)

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Build from a mapping out of YAML or JSON, or from the name of a runtime alone.

        Raises:
            ConfigError: neither, unknown key, wrong type or value out of range; names the key.
        """
        if isinstance(values, str):
            return cls(runtime=values)
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"target must be a runtime's name or a mapping such as {{runtime: onnxruntime}}, got {values!r}"
            )
        reject_unknown(values, [f.name for f in dataclasses.fields(cls)], "key of target")
        return cls(**{name: coerce(cls, name, value, place="target.") for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives the same target back. Cores are left out where none are named."""
        values = dataclasses.asdict(self)
        cores = values.pop("affinity")
        return values if cores is None else {**values, "affinity": list(cores)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A hard limit on one figure of a trial, already absolute.

    Attributes:
        metric: e.g. "latency_ms".
        operator: "<=" or ">=".
        value: in the metric's unit.
    """

    metric: str
    operator: Literal["<=", ">="]
    value: float

    def excess(self, measured: float) -> float:
        """By how much `measured` breaks the limit; zero or negative when it is met."""
        return measured - self.value if self.operator == "<=" else self.value - measured

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {self.value:g}"


def broken(limits: Iterable[Limit], metrics: Mapping[str, float], *, trusted: bool) -> dict[str, float]:
    """The limits that figures surely break.

    Args:
        limits: those on figures that are not there yet are left out.
        metrics: figures by name.
        trusted: whether the latency may be believed. One that may not be breaks a limit only by more than a quarter of
            it: clocks of shared machines wander.

    Returns:
        Text of each limit, and by how much it is broken.
    """
    found = {}
    for limit in limits:
        if limit.metric not in metrics:
            continue
        excess = limit.excess(metrics[limit.metric])
        doubted = not trusted and limit.metric.startswith(_TIMED) and excess <= _DOUBT * abs(limit.value)
        if excess > 0 and not doubted:
            found[str(limit)] = excess
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig(PruningSettings):
    """One point of a search space together with everything that stays fixed.

    The settings of `TrainingSettings` are those of the dense network; soft pruning and finetuning take them too,
    apart from those that have a `prune_` or `finetune_` twin in `PruningSettings`, and soft pruning keeps its last
    epoch without averaging or evaluations between.

    Attributes:
        dataset: name in `reid.data.DATASETS`.
        validation_share: share of the training identities held out for validation, in (0, 1).
        input_size: (height, width) in pixels.
        backbone: name in `reid.models.BACKBONES`, or "package.module:function" of a network of one's own.
        weights: state dict to start from, as `reid.models.build` takes it, or None for random weights.
        head: this and the next eight are `reid.models.NetworkOptions`.
        pooling: see there.
        last_stride: see there.
        ibn: see there.
        width: see there.
        parts: see there.
        drop_branches: see there.
        dropout: see there.
        spectral: see there.
        teacher: network that the distillation terms of a loss compare with, or None.
        teacher_spec: how images reach the teacher, where its file does not say so.
        teacher_backbone: network of a teacher that is a bare state dict.
        teacher_options: its `reid.models.NetworkOptions`, those that are not the usual ones.
        teacher_view: "plain" embeds every training image once, before the training; "drawn" some variants of each,
            which the student then sees; "augmented" runs the teacher beside the student, on the same augmented images.
        teacher_views: variants of each image where `teacher_view` is "drawn", >= 1.
        flip_embedding: embed an image and its mirror image and add both, at twice the latency. It holds for the
            exported file wherever that runs, not for the training.
        quantization: name in `reid.quantize.SCHEMES`.
        calibration_images: training images read to calibrate int8, >= 1.
        calibration: how the range of an activation follows from its values in those images.
        equalize: level the channels of successive convolutions before int8 ranges are taken.
        weight_bits: 8 or 7 of an int8 weight; 0 takes 7 where the products of the target's processor saturate (AVX2
            without VNNI), else 8.
        qat_epochs: epochs of int8-qat, >= 1.
        qat_learning_rate: peak rate of int8-qat.
        qat_loss: loss of int8-qat; its teacher is the float network that is quantized.
        max_quantization_drop: mAP that quantization may cost before the trial is infeasible, >= 0.
        target: where latency is measured.
        footprint: also measure cold start, memory and throughput of the final file, which takes seconds.
    """

    dataset: str = "synthetic"
    validation_share: float = 0.15
    input_size: tuple[int, int] = (128, 64)
    backbone: str = "resnet18"
    weights: str | None = None
    head: str = "default"
    pooling: str = "avg"
    last_stride: int | None = None
    ibn: bool = False
    width: float = 1.0
    parts: int = 6
    drop_branches: int = 0
    dropout: float | None = None
    spectral: float | None = None
    teacher: str | None = None
    teacher_spec: str | None = None
    teacher_backbone: str | None = None
    teacher_options: Mapping[str, Any] | None = None
    teacher_view: Literal["plain", "drawn", "augmented"] = "plain"
    teacher_views: int = 8
    flip_embedding: bool = False
    quantization: str = "fp32"
    calibration_images: int = 256
    calibration: Literal["min-max", "percentile", "entropy"] = "min-max"
    equalize: bool = False
    weight_bits: int = 0
    qat_epochs: int = 2
    qat_learning_rate: float = 5e-5
    qat_loss: str = "distill-cosine+distill-distance"
    max_quantization_drop: float = 0.02
    target: Target = field(default_factory=Target)
    footprint: bool = False

    def __post_init__(self) -> None:
        PruningSettings.__post_init__(self)  # as there
        demand_choices(self)
        demand_size(self.input_size)
        demand(0 < self.validation_share < 1, "validation_share", self.validation_share, "0 < share < 1")
        drop, rate = self.max_quantization_drop, self.qat_learning_rate
        demand(0 < rate < math.inf, "qat_learning_rate", rate, "above 0")
        for name in ("calibration_images", "qat_epochs", "teacher_views"):
            demand(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        demand(self.weight_bits in (0, 7, 8), "weight_bits", self.weight_bits, "0, 7 or 8")
        demand(0 <= drop < math.inf, "max_quantization_drop", drop, "a finite number >= 0; 1 allows any drop")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all settings."""
        return tuple(f.name for f in dataclasses.fields(cls))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values, e.g. out of YAML or JSON; a loss may be a mapping of terms to weights.

        Raises:
            ConfigError: unknown key, wrong type or value out of range; names the key.
        """
        reject_unknown(values, cls.names(), "setting")
        return cls(**{name: cls._coerce(name, value) for name, value in values.items()})

    @classmethod
    def _coerce(cls, name: str, value: Any) -> Any:
        if name == "target":
            return value if isinstance(value, Target) else Target.from_dict(value)
        if name in _LOSSES and isinstance(value, Mapping):
            return _loss_text(name, value)
        if name == "teacher_options" and value is not None:
            return _options(name, value)
        if name == "input_size" and not (isinstance(value, list | tuple) and len(value) == 2):
            raise ConfigError(f"input_size must be [height, width] in pixels, got {value!r}")
        return coerce(cls, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives the same configuration back."""
        values = dataclasses.asdict(self)
        for name in ("input_size", "milestones"):
            values[name] = list(values[name])
        return {**values, "target": self.target.to_dict()}


_TIMED = ("latency_", "throughput_", "cold_start_")
_DOUBT = 0.25
_LOSSES = ("loss", "finetune_loss", "qat_loss")
_MOST = {"threads": 1024, "batch": 4096}


def _options(name: str, values: object) -> dict[str, Any]:
    if not isinstance(values, Mapping) or not all(
        isinstance(value, str | int | float | None) for value in values.values()
    ):
        raise ConfigError(
            f"{name} must be a mapping such as {{last_stride: 1, head: linear}}, got {values!r}"
        )
    return {str(option): value for option, value in values.items()}


def _loss_text(name: str, weights: Mapping[Any, Any]) -> str:
    """`{softmax: 1, circle: 0.5}` as "softmax+0.5*circle"."""
    for term, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ConfigError(f"{name}.{term} must be a number, got {weight!r}")
    terms = (
        f"{term}" if weight == 1 else f"{weight}*{term}".replace("e+", "e")
        for term, weight in weights.items()
    )
    if not (text := "+".join(terms)):
        raise ConfigError(f"{name} must name at least one term, e.g. {{softmax: 1}}")
    return text
