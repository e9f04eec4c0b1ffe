"""What a trial is asked to do: one frozen dataclass that is both configuration and its documentation."""

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from reid.errors import ConfigError

__all__ = ["Limit", "Target", "TrialConfig", "reject_unknown"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Runtime and device on which latency is measured.

    Attributes:
        runtime: name in `reid.runtime.RUNTIMES`.
        device: "cpu" or "cuda:N".
        threads: threads of one inference, >= 1.
        batch: images per call, >= 1.
    """

    runtime: str = "onnxruntime"
    device: str = "cpu"
    threads: int = 1
    batch: int = 1

    def __post_init__(self) -> None:
        for name in ("threads", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"target.{name} must be at least 1, got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; raises ConfigError on an unknown key."""
        reject_unknown(values, [f.name for f in dataclasses.fields(cls)], "key of target")
        return cls(**values)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """One point of a search space together with everything that stays fixed.

    Attributes:
        dataset: name in `reid.data.DATASETS`.
        validation_share: share of the training identities held out for validation, in (0, 1).
        backbone: name in `reid.models.BACKBONES`.
        weights: path of a state dict to start from, or None for random weights.
        input_size: (height, width) in pixels.
        loss: name in `reid.losses.LOSSES`, terms joined by "+".
        epochs: epochs of the dense network, >= 0 (0 keeps `weights` as they are).
        learning_rate: peak rate of the dense training.
        warmup_epochs: linear warm-up, in epochs.
        identities_per_batch: P of PxK sampling, >= 2.
        images_per_identity: K of PxK sampling, >= 2.
        precision: "auto", "fp32" or "bf16" (autocast of the forward pass).
        method: name in `reid.prune.METHODS`, or "none".
        prune_rate: share of filters removed, 0 <= r < 1.
        decay_rate: factor that remains after one soft-pruning step, 0 = zeroed, in [0, 1).
        knn: neighbours in the local filter power, the filter itself counted, >= 2.
        max_layer_rate: largest rate of one layer, in (0, 1).
        efficient: use the fast selection where a layer's rate is above one half.
        scope: "inner" keeps the residual stream at full width, "grouped" narrows it too.
        round_to: kept counts are rounded up to a multiple of this; None lets the target decide.
        prune_epochs: epochs of soft pruning, >= 1 unless method is "none".
        finetune_epochs: epochs after slimming, >= 0.
        finetune_learning_rate: peak rate of soft pruning and finetuning.
        quantization: name in `reid.quantize.SCHEMES`.
        calibration_images: training images read to calibrate int8, >= 1.
        max_quantization_drop: mAP that quantization may cost before the trial is infeasible.
        target: where latency is measured.
        seed: of everything random.
    """

    dataset: str = "synthetic"
    validation_share: float = 0.15
    backbone: str = "resnet18"
    weights: str | None = None
    input_size: tuple[int, int] = (128, 64)
    loss: str = "triplet+softmax"
    epochs: int = 20
    learning_rate: float = 3.5e-4
    warmup_epochs: int = 2
    identities_per_batch: int = 16
    images_per_identity: int = 4
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    method: str = "bafd"
    prune_rate: float = 0.5
    decay_rate: float = 0.3
    knn: int = 2
    max_layer_rate: float = 0.9
    efficient: bool = True
    scope: Literal["inner", "grouped"] = "grouped"
    round_to: int | None = None
    prune_epochs: int = 5
    finetune_epochs: int = 5
    finetune_learning_rate: float = 3.5e-4
    quantization: str = "fp32"
    calibration_images: int = 256
    max_quantization_drop: float = 0.02
    target: Target = field(default_factory=Target)
    seed: int = 0

    def __post_init__(self) -> None:
        height, width = self.input_size
        _demand(
            32 <= height <= 1024 and 16 <= width <= 1024,
            "input_size",
            self.input_size,
            "(height, width) between (32, 16) and (1024, 1024)",
        )
        _demand(0 <= self.prune_rate < 1, "prune_rate", self.prune_rate, "0 <= rate < 1")
        _demand(0 <= self.decay_rate < 1, "decay_rate", self.decay_rate, "0 <= rate < 1")
        _demand(0 < self.max_layer_rate < 1, "max_layer_rate", self.max_layer_rate, "0 < rate < 1")
        _demand(0 < self.validation_share < 1, "validation_share", self.validation_share, "0 < share < 1")
        _demand(self.scope in ("inner", "grouped"), "scope", self.scope, "inner or grouped")
        _demand(self.precision in ("auto", "fp32", "bf16"), "precision", self.precision, "auto, fp32 or bf16")
        for name, least in _LEAST.items():
            _demand(getattr(self, name) >= least, name, getattr(self, name), f"at least {least}")
        if self.method != "none":
            _demand(self.prune_epochs >= 1, "prune_epochs", self.prune_epochs, "at least 1")

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all settings."""
        return tuple(f.name for f in dataclasses.fields(cls))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values, e.g. out of YAML or JSON.

        Raises:
            ConfigError: unknown key, wrong type or value out of range; names the key.
        """
        reject_unknown(values, cls.names(), "setting")
        plain = {name: _coerce(name, value) for name, value in values.items()}
        return cls(**plain)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives the same configuration back."""
        values = dataclasses.asdict(self)
        values["input_size"] = list(self.input_size)
        return values


_LEAST = {
    "epochs": 0, "warmup_epochs": 0, "identities_per_batch": 2, "images_per_identity": 2, "knn": 2,
    "finetune_epochs": 0, "calibration_images": 1, "prune_epochs": 0,
}  # fmt: skip

_TYPES: dict[str, type | tuple[type, ...]] = {
    "validation_share": float, "learning_rate": float, "finetune_learning_rate": float, "prune_rate": float,
    "decay_rate": float, "max_layer_rate": float, "max_quantization_drop": float, "epochs": int,
    "warmup_epochs": int, "identities_per_batch": int, "images_per_identity": int, "knn": int,
    "prune_epochs": int, "finetune_epochs": int, "calibration_images": int, "seed": int,
    "round_to": (int, type(None)), "efficient": bool, "dataset": str, "backbone": str,
    "weights": (str, type(None)), "loss": str, "precision": str, "method": str, "scope": str,
    "quantization": str,
}  # fmt: skip


def _coerce(name: str, value: Any) -> Any:
    if name == "target":
        return value if isinstance(value, Target) else Target.from_dict(value)
    if name == "input_size":
        if not (isinstance(value, list | tuple) and len(value) == 2 and all(type(v) is int for v in value)):
            raise ConfigError(f"input_size must be [height, width] in pixels, got {value!r}")
        return tuple(value)
    wanted = _TYPES[name]
    if wanted is float and type(value) is int:
        value = float(value)
    if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
        names = " or ".join(t.__name__ for t in (wanted if isinstance(wanted, tuple) else (wanted,)))
        raise ConfigError(f"{name} must be {names}, got {value!r}")
    return value


def _demand(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {wanted}, got {value!r}")
