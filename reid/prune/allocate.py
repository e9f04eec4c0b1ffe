"""How much each unit loses: the same everywhere, or the block rates of BAFD."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from reid.config import TrialConfig
from reid.errors import ConfigError
from reid.prune.selection import bafd_local_ranking
from reid.prune.units import PruneUnit

__all__ = ["ALLOCATIONS", "layer_filters", "layer_rates", "ranked_units", "unit_filters"]


def layer_rates(
    model: nn.Module,
    units: Sequence[PruneUnit],
    *,
    prune_rate: float,
    knn: int,
    max_layer_rate: float,
) -> dict[str, float]:
    """Share of its filters that each unit loses, from the weights as they are.

    The local powers of all ranked units are walked through in ascending order; each takes one filter from its unit
    unless that has already lost floor(max_layer_rate * width), until floor(prune_rate * filters) are taken or
    nothing is left to take. The units of one residual block then share the block's mean rate, weighted by
    their widths, so that the number taken stays; a unit that belongs to no block keeps its own.

    Pointwise convolutions are ranked only where their block has none with a wider kernel (as in a ResNet's
    bottlenecks); elsewhere they take their block's rate without having a say in it.

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
    ranked = ranked_units(model, units)
    scores = {unit.name: bafd_local_ranking(unit_filters(model, unit), knn) for unit in ranked}
    caps = {unit.name: math.floor(max_layer_rate * unit.width) for unit in ranked}
    shares = _block_shares(ranked, _walk(scores, caps, prune_rate))
    return {unit.name: shares[unit.block or unit.name] for unit in units}


def unit_filters(model: nn.Module, unit: PruneUnit) -> Tensor:
    """The filters of a unit, those of tied convolutions side by side.

    Returns:
        (unit.width, weights per channel) on the CPU, float64.
    """
    return torch.cat(layer_filters(model, unit), dim=1)


def layer_filters(model: nn.Module, unit: PruneUnit) -> list[Tensor]:
    """The filters of a unit, those of each convolution: (unit.width, weights per channel) on the CPU, float64."""
    found = []
    for name in unit.convs:
        first = unit.span(name).first
        rows = cast(nn.Conv2d, model.get_submodule(name)).weight.detach()[first : first + unit.width]
        found.append(rows.to("cpu", torch.float64).flatten(1))
    return found


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


def ranked_units(model: nn.Module, units: Sequence[PruneUnit]) -> list[PruneUnit]:
    """The units whose filters compete: those with a kernel wider than a pixel, and all of a block without such."""
    wide = {
        unit.name
        for unit in units
        # A linear layer has no kernel; it is pointwise.
        if any(getattr(model.get_submodule(conv), "kernel_size", (1, 1)) != (1, 1) for conv in unit.convs)
    }
    led = {unit.block for unit in units if unit.block and unit.name in wide}
    return [unit for unit in units if unit.name in wide or unit.block not in led]


def _block_shares(units: Sequence[PruneUnit], taken: Mapping[str, int]) -> dict[str, float]:
    """Share taken from each block, and from each unit without one."""
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for unit in units:
        totals[unit.block or unit.name][0] += taken[unit.name]
        totals[unit.block or unit.name][1] += unit.width
    return {name: gone / width for name, (gone, width) in totals.items()}


def _uniform(model: nn.Module, units: Sequence[PruneUnit], config: TrialConfig) -> dict[str, float]:
    return {unit.name: config.prune_rate for unit in units}


def _bafd(model: nn.Module, units: Sequence[PruneUnit], config: TrialConfig) -> dict[str, float]:
    return layer_rates(
        model, units, prune_rate=config.prune_rate, knn=config.knn, max_layer_rate=config.max_layer_rate
    )


ALLOCATIONS: dict[str, Callable[[nn.Module, Sequence[PruneUnit], TrialConfig], dict[str, float]]] = {
    "bafd": _bafd,
    "uniform": _uniform,
}
"""Rate by unit name, by the name of the allocation."""
