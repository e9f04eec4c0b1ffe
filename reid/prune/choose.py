"""The channels that stay, chosen unit by unit by one criterion."""

import zlib
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from reid.config import reject_unknown
from reid.prune.allocate import unit_filters
from reid.prune.criteria import CRITERIA, Ask
from reid.prune.plan import PrunePlan, kept_count
from reid.prune.units import PruneUnit

__all__ = ["select"]


def select(
    model: nn.Module,
    units: Sequence[PruneUnit],
    rates: Mapping[str, float],
    *,
    criterion: str = "bafd",
    round_to: int,
    knn: int = 2,
    efficient: bool = False,
    seed: int = 0,
) -> PrunePlan:
    """Choose the channels that stay, by the weights as they are now.

    Args:
        model: network that `units` were found in.
        units: from `reid.prune.find_units`.
        rates: by unit name, 0 <= rate < 1.
        criterion: name in `CRITERIA`.
        round_to: as for `kept_count`; the kept counts depend on nothing but it, widths and rates.
        knn: for "bafd".
        efficient: for "bafd".
        seed: for "random".

    Raises:
        ConfigError: unknown criterion, or a rate, `knn` or `round_to` out of range.
        ArtifactError: a weight is NaN or infinite.
    """
    reject_unknown([criterion], CRITERIA, "criterion")
    kept: dict[str, tuple[int, ...]] = {}
    for unit in units:
        rate = rates[unit.name]
        count = unit.width - kept_count(unit.width, rate, round_to)
        stays = torch.ones(unit.width, dtype=torch.bool)
        if count:
            # Chance must not repeat itself from unit to unit, nor depend on which other units there are.
            own_seed = zlib.crc32(unit.name.encode(), seed & 0xFFFFFFFF)
            ask = Ask(count=count, rate=rate, knn=knn, efficient=efficient, seed=own_seed)
            stays[torch.from_numpy(CRITERIA[criterion](unit_filters(model, unit).numpy(), ask))] = False
        kept[unit.name] = tuple(stays.nonzero().flatten().tolist())
    return PrunePlan(units=tuple(units), kept=kept)
