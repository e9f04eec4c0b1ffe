"""What may be chosen about a network besides its name, and which networks offer it."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from reid.config import TrialConfig, demand_size, reject_unknown
from reid.errors import ConfigError
from reid.training_settings import coerce, demand

__all__ = ["HEAD_NAMES", "POOLING_NAMES", "NetworkOptions", "demand_input_size", "network_options"]

HEAD_NAMES = ("bnneck", "default", "linear", "pcb")
POOLING_NAMES = ("avg", "gem", "max")

_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
_OFFERED_BY = {
    "last_stride": (*_RESNETS, "densenet121"),
    "ibn": _RESNETS,
    "width": (*_RESNETS, "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
}
# Their last maps are centred: a generalised mean, which takes values below zero for zero, would lose half of them.
_NOT_RECTIFIED = ("convnext_tiny", "swin_t")
# Four halvings without padding after the first: a smaller map vanishes.
_NEEDS_32 = ("convnext_tiny", "densenet121")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """How a backbone is varied, and what stands between its last map and the identities.

    Attributes:
        head: "default" is "bnneck", for OSNet its own linear layer; or one of `HEAD_NAMES`.
        pooling: of the last map: one of `POOLING_NAMES`.
        last_stride: of the last stage, 1 or 2; None leaves it at 2. Resnets and densenet121.
        ibn: half of the channels behind the first convolution of each block of the first three stages are
            normalised per image (IBN-a). Resnets.
        width: factor on all channel counts of the body, 0 < width <= 2. Resnets and mobilenets; OSNet has its
            width in its name.
        parts: horizontal stripes of head "pcb", 2 to 16.
        drop_branches: draws, with replacement, of branches of head "pcb" whose logits a training step leaves
            out, 0 to 64; at least one branch stays.
        dropout: share of the embedding hidden from the classifier, 0 <= share < 1; None lets the head
            decide: 0.5 for "linear" and "pcb", else 0.
        spectral: temperature of the spectral feature transform in training, above 0; None for none.
    """

    head: str = "default"
    pooling: str = "avg"
    last_stride: int | None = None
    ibn: bool = False
    width: float = 1.0
    parts: int = 6
    drop_branches: int = 0
    dropout: float | None = None
    spectral: float | None = None

    def __post_init__(self) -> None:
        reject_unknown([self.head], HEAD_NAMES, "head")
        reject_unknown([self.pooling], POOLING_NAMES, "pooling")
        demand(self.last_stride in (None, 1, 2), "last_stride", self.last_stride, "1 or 2")
        demand(0 < self.width <= 2, "width", self.width, "0 < width <= 2")
        demand(2 <= self.parts <= 16, "parts", self.parts, "2 to 16")
        demand(0 <= self.drop_branches <= 64, "drop_branches", self.drop_branches, "0 to 64")
        if self.dropout is not None:
            demand(0 <= self.dropout < 1, "dropout", self.dropout, "0 <= share < 1")
        if self.spectral is not None:
            demand(0 < self.spectral < math.inf, "spectral", self.spectral, "a temperature above 0")
        if self.head != "pcb":
            for name in ("parts", "drop_branches"):
                if getattr(self, name) != _DEFAULTS[name]:
                    raise ConfigError(f"{name} belongs to head pcb, not to {self.head}; leave it out")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values, e.g. out of YAML.

        Raises:
            ConfigError: unknown name, wrong type or value out of range; names the option.
        """
        reject_unknown(values, list(_DEFAULTS), "network option")
        return cls(**{name: coerce(cls, name, value) for name, value in values.items()})

    def demand_offered(self, backbone: str) -> None:
        """Check that a backbone offers what was chosen.

        Args:
            backbone: key of `reid.models.BACKBONES`.

        Raises:
            ConfigError: names the option and the networks that offer it.
        """
        for name, offering in _OFFERED_BY.items():
            if getattr(self, name) != _DEFAULTS[name] and backbone not in offering:
                raise ConfigError(
                    f"{backbone} does not offer {name}; it is for {', '.join(sorted(offering))}"
                )
        if self.pooling == "gem" and backbone in _NOT_RECTIFIED:
            raise ConfigError(
                f"pooling gem takes values below zero for zero, and half of the last map of {backbone} lies there; "
                "take avg or max"
            )


def demand_input_size(backbone: str, input_size: tuple[int, int]) -> None:
    """Refuse images that a backbone cannot take.

    Args:
        backbone: key of `reid.models.BACKBONES`.
        input_size: (height, width) in pixels.

    Raises:
        ConfigError: a side is out of range, or so short that the backbone's map would vanish.
    """
    demand_size(input_size)
    height, width = input_size
    if backbone in _NEEDS_32 and min(height, width) < 32:
        raise ConfigError(f"{backbone} needs images of at least 32x32, got input_size {height}x{width}")


def network_options(config: TrialConfig) -> NetworkOptions:
    """How the trial varies its backbone.

    Raises:
        ConfigError: an option out of range; names it.
    """
    return NetworkOptions(
        **{field.name: getattr(config, field.name) for field in dataclasses.fields(NetworkOptions)}
    )


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(NetworkOptions)}
