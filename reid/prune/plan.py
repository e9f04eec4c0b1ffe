"""Which channels stay: the plan that mask, slim network and file share."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from torch import nn

from reid.config import reject_unknown
from reid.errors import ConfigError
from reid.prune.graph import NORMS
from reid.prune.units import PruneUnit, Span

__all__ = ["PrunePlan", "kept_count"]

_SCHEMA = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """The channels that stay, by unit.

    Attributes:
        units: of the dense network.
        kept: ascending channel indices by unit name, at least one each.
    """

    units: tuple[PruneUnit, ...]
    kept: Mapping[str, tuple[int, ...]]

    @property
    def kept_embedding(self) -> tuple[int, ...] | None:
        """Dimensions of the dense embedding that stay, or None when all do."""
        units = [unit for unit in self.units if unit.is_embedding]
        if not units:
            return None
        spans = {unit.name: unit.span("classifier") for unit in units}
        gone = {spans[unit.name].first + channel for unit in units for channel in self.removed(unit)}
        return tuple(channel for channel in range(spans[units[0].name].of) if channel not in gone)

    @property
    def removed_share(self) -> float:
        """Share of the units' filters that go, 0 <= share < 1."""
        width = sum(unit.width for unit in self.units)
        return 1 - sum(len(self.kept[unit.name]) for unit in self.units) / width if width else 0.0

    def removed(self, unit: PruneUnit) -> tuple[int, ...]:
        """Ascending indices of the channels of `unit` that go."""
        kept = set(self.kept[unit.name])
        return tuple(channel for channel in range(unit.width) if channel not in kept)

    def validate(self, model: nn.Module) -> None:
        """Check that the plan can be carried out on a dense network.

        Raises:
            ConfigError: names the first unit that would lose all channels, keeps channels it does not have,
                or names layers that `model` lacks or has in another width.
        """
        if set(self.kept) != {unit.name for unit in self.units} or len(self.kept) != len(self.units):
            raise ConfigError("the plan's units and kept channels name different units; make the plan anew")
        written: set[tuple[str, int]] = set()
        for unit in self.units:
            _demand_legal(unit, self.kept[unit.name])
            for conv in unit.convs:
                own = {(conv, unit.span(conv).first + channel) for channel in range(unit.width)}
                if not written.isdisjoint(own):
                    raise ConfigError(f"unit {unit.name}: {conv} belongs to two units; make the plan anew")
                written |= own
            _demand_widths(unit, model)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives an equal plan back."""
        return {
            "schema": _SCHEMA,
            "units": [
                {**dataclasses.asdict(unit), "kept": list(self.kept[unit.name])} for unit in self.units
            ],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a plan back.

        Raises:
            ConfigError: another schema, an unknown or missing key, or a value of the wrong type.
        """
        schema = values.get("schema") if isinstance(values, Mapping) else None
        if schema != _SCHEMA:
            raise ConfigError(f"plan has schema {schema!r}, this version reads {_SCHEMA}; make the plan anew")
        reject_unknown(values, ("schema", "units"), "key of plan")
        try:
            pairs = [_unit_from_dict(entry) for entry in values["units"]]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ConfigError(
                f"plan cannot be read ({type(error).__name__}: {error}); make it anew"
            ) from error
        return cls(units=tuple(unit for unit, _ in pairs), kept={unit.name: kept for unit, kept in pairs})


def kept_count(width: int, rate: float, round_to: int) -> int:
    """Channels that stay: width - floor(width * rate), rounded up to a multiple of `round_to`.

    A layer narrower than two multiples halves the multiple until two fit (or it is 1): rounding 16 channels to 16
    would keep them all. One narrower than four may also end at half a multiple, though not between: kernels work on
    whole multiples, and 24 channels of 32 take as long as 32 (decision 29).

    Args:
        width: channels of the dense layer, >= 1.
        rate: share removed, 0 <= rate < 1.
        round_to: preferred multiple, >= 1; 1 rounds nothing.

    Returns:
        Between 1 and `width`, never fewer than the rate asks to keep.

    Raises:
        ConfigError: an argument is out of range.
    """
    if not 0 <= rate < 1:
        raise ConfigError(f"rate must be 0 <= rate < 1, got {rate!r}")
    if round_to < 1:
        raise ConfigError(f"round_to must be at least 1, got {round_to!r}")
    # A rate that was computed as gone / width must give `gone` back, although 49 * (1 / 49) < 1.
    stay = width - min(math.floor(width * rate + 1e-9), width - 1)
    multiple = round_to
    while multiple > 1 and (width < 2 * multiple or (width < 4 * multiple and stay <= multiple // 2)):
        multiple //= 2
    return min(width, math.ceil(stay / multiple) * multiple)


def _demand_legal(unit: PruneUnit, kept: tuple[int, ...]) -> None:
    if not kept:
        raise ConfigError(f"unit {unit.name} would keep 0 of {unit.width} channels; lower its prune rate")
    ascending = all(left < right for left, right in pairwise(kept))
    if not ascending or kept[0] < 0 or kept[-1] >= unit.width:
        raise ConfigError(
            f"unit {unit.name} keeps channels that are not ascending within 0..{unit.width - 1}; "
            "make the plan anew"
        )


def _demand_widths(unit: PruneUnit, model: nn.Module) -> None:
    """Every layer of the unit is there, of the right kind and in the unit's width."""
    wanted = (
        *((name, "out_", (nn.Conv2d, nn.Linear)) for name in unit.convs),
        *((name, "num_", NORMS) for name in unit.norms),
        *((name, "in_", (nn.Conv2d, nn.Linear)) for name in unit.readers),
    )
    for name, side, kinds in wanted:
        try:
            layer = model.get_submodule(name)
        except AttributeError:
            raise ConfigError(
                f"unit {unit.name}: the network has no layer {name}; give its backbone"
            ) from None
        attribute = side + ("channels" if isinstance(layer, nn.Conv2d) else "features")
        width = getattr(layer, attribute) if isinstance(layer, kinds) else None
        span = unit.span(name)
        if width != span.of or not 0 <= span.first <= span.of - unit.width:
            raise ConfigError(
                f"unit {unit.name}: {name} has {attribute} {width}, the plan was made for {span.of}; "
                "give the dense network it was made from"
            )
        if isinstance(layer, NORMS) and not layer.affine:
            raise ConfigError(f"unit {unit.name}: {name} has no weight to mask; use an affine normalisation")


def _unit_from_dict(entry: Mapping[str, Any]) -> tuple[PruneUnit, tuple[int, ...]]:
    reject_unknown(entry, [*(f.name for f in dataclasses.fields(PruneUnit)), "kept"], "key of a plan's unit")
    if entry["kind"] not in ("group", "scatter"):
        raise ValueError(f"kind {entry['kind']!r}")
    unit = PruneUnit(
        name=str(entry["name"]),
        kind=entry["kind"],
        block=entry["block"],
        width=int(entry["width"]),
        convs=tuple(entry["convs"]),
        norms=tuple(entry["norms"]),
        readers=tuple(entry["readers"]),
        spans={
            str(layer): Span(first=int(span["first"]), of=int(span["of"]))
            for layer, span in entry["spans"].items()
        },
    )
    return unit, tuple(int(channel) for channel in entry["kept"])
