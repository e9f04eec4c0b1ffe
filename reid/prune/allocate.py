"""How much each unit loses: the block rates of BAFD."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.prune.selection import bafd_local_ranking
from reid.prune.units import PruneUnit

__all__ = ["layer_rates", "unit_filters"]


def layer_rates(
    model: nn.Module,
    units: Sequence[PruneUnit],
    *,
    prune_rate: float,
    knn: int,
    max_layer_rate: float,
) -> dict[str, float]:
    """Share of its filters that each unit loses, from the weights as they are.

    The local powers of all units are walked through in ascending order; each takes one filter from its unit
    unless that has already lost floor(max_layer_rate * width), until floor(prune_rate * filters) are taken or
    nothing is left to take. The units of one residual block then share the block's mean rate, weighted by
    their widths, so that the number taken stays; a unit that belongs to no block keeps its own.

    Args:
        model: dense network with the layers that `units` name.
        units: from `reid.prune.find_units`.
        prune_rate: share of the filters of all units together, 0 <= rate < 1.
        knn: neighbours in the local power, the filter itself counted, >= 1.
        max_layer_rate: largest share taken from one unit, 0 < rate < 1.

    Returns:
        Rate by unit name, each 0 <= rate <= max_layer_rate.

    Raises:
        ConfigError: a rate or `knn` is out of range.
        ArtifactError: a weight is NaN or infinite.

    Source: block-wise adjacent filter decaying (BAFD), block rates; a block's widths are equal there, and its
    mean thus the plain one.
    """
    if not 0 <= prune_rate < 1:
        raise ConfigError(f"prune_rate must be 0 <= rate < 1, got {prune_rate!r}")
    if not 0 < max_layer_rate < 1:
        raise ConfigError(f"max_layer_rate must be 0 < rate < 1, got {max_layer_rate!r}")
    scores = {unit.name: bafd_local_ranking(unit_filters(model, unit), knn) for unit in units}
    caps = {unit.name: math.floor(max_layer_rate * unit.width) for unit in units}
    taken = _walk(scores, caps, prune_rate)
    return _share_within_blocks(units, taken)


def unit_filters(model: nn.Module, unit: PruneUnit) -> Tensor:
    """The filters of a unit, those of tied convolutions side by side.

    Returns:
        (unit.width, weights per channel) on the CPU, float64.
    """
    convs = (cast(nn.Conv2d, model.get_submodule(name)) for name in unit.convs)
    flat = [conv.weight.detach().to("cpu", torch.float64).flatten(1) for conv in convs]
    return torch.cat(flat, dim=1)


def _walk(scores: Mapping[str, np.ndarray], caps: Mapping[str, int], prune_rate: float) -> dict[str, int]:
    """Filters taken from each unit, walking through all scores in ascending order."""
    names = [name for name, ranked in scores.items() for _ in ranked]
    taken = dict.fromkeys(scores, 0)
    if not names:
        return taken
    wanted = math.floor(prune_rate * len(names))
    for position in np.argsort(np.concatenate(list(scores.values())), kind="stable"):
        if wanted == 0:
            break
        name = names[position]
        if taken[name] < caps[name]:
            taken[name] += 1
            wanted -= 1
    return taken


def _share_within_blocks(units: Sequence[PruneUnit], taken: Mapping[str, int]) -> dict[str, float]:
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for unit in units:
        totals[unit.block or unit.name][0] += taken[unit.name]
        totals[unit.block or unit.name][1] += unit.width
    shares = {shared: gone / width for shared, (gone, width) in totals.items()}
    return {unit.name: shares[unit.block or unit.name] for unit in units}
