"""Which filters of a unit go, by name: norms, distances, local power, chance."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from reid.errors import ArtifactError, ConfigError
from reid.prune.selection import decayed_filters, filter_distances, filter_rows, least_summed

__all__ = ["CRITERIA", "Ask", "Criterion", "fpgm_selection", "norm_selection"]

_Floats = NDArray[np.float64]
_Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a criterion is asked.

    Attributes:
        count: filters to choose, 0 <= count < n.
        rate: share of filters that the method removes from this unit before rounding, 0 <= rate < 1.
        knn: neighbours in the local power, the filter itself counted, >= 1.
        efficient: choose greedily the filters that stay where `rate` is above one half ("bafd").
        seed: of "random"; differs between units.
    """

    count: int
    rate: float = 0.0
    knn: int = 2
    efficient: bool = False
    seed: int = 0


Criterion = Callable[[_Floats, Ask], _Indices]
"""(n, D) finite filters -> (count,) ascending indices of those that go."""


def norm_selection(weight: ArrayLike | torch.Tensor, rate: float, order: int = 2) -> _Indices:
    """Filters of smallest norm, equal ones in their order.

    Args:
        weight: (n, ...) finite weights, one filter per row, n >= 1.
        rate: share chosen, 0 <= rate < 1; their number is floor(n * rate).
        order: 1 for the sum of absolute values, 2 for the Euclidean norm.

    Returns:
        (floor(n * rate),) int64, ascending.

    Raises:
        ConfigError: `rate` or `order` is out of range, or `weight` holds no filter.
        ArtifactError: `weight` holds NaN or infinities.

    Source: order 1: Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, section 3.1; order 2: He et al.,
        Soft Filter Pruning, IJCAI 2018, section 3.2.
    """
    if order not in (1, 2):
        raise ConfigError(f"order of a norm must be 1 or 2, got {order!r}")
    rows = filter_rows(weight)
    return CRITERIA[f"l{order}"](rows, Ask(count=_count(rows, rate)))


def fpgm_selection(weight: ArrayLike | torch.Tensor, rate: float) -> _Indices:
    """Filters nearest to the geometric median: those of smallest summed distance to all others.

    Args:
        weight: (n, ...) finite weights, one filter per row, n >= 1.
        rate: share chosen, 0 <= rate < 1; their number is floor(n * rate).

    Returns:
        (floor(n * rate),) int64, ascending.

    Raises:
        ConfigError: `rate` is out of range, or `weight` holds no filter.
        ArtifactError: `weight` holds NaN or infinities.

    Source: He et al., Filter Pruning via Geometric Median, CVPR 2019, section 3.2.
    """
    rows = filter_rows(weight)
    return CRITERIA["fpgm"](rows, Ask(count=_count(rows, rate)))


def _count(rows: _Floats, rate: float) -> int:
    if not 0 <= rate < 1:
        raise ConfigError(f"rate must be 0 <= rate < 1, got {rate!r}")
    return math.floor(len(rows) * rate)


def _by_norm(order: int) -> Criterion:
    def select(filters: _Floats, ask: Ask) -> _Indices:
        norms = np.linalg.norm(filters, ord=order, axis=1)
        if not np.isfinite(norms).all():
            raise ArtifactError("the weights of a layer hold NaN or infinities; lower the learning rate")
        return np.sort(np.argsort(norms, kind="stable")[: ask.count])

    return select


def _by_summed_distance(filters: _Floats, ask: Ask) -> _Indices:
    return least_summed(filter_distances(filters), ask.count)


def _by_local_power(filters: _Floats, ask: Ask) -> _Indices:
    greedy = ask.efficient and ask.rate > 0.5
    return decayed_filters(filter_distances(filters), ask.knn, ask.count, keep_greedily=greedy)


def _by_chance(filters: _Floats, ask: Ask) -> _Indices:
    drawn = np.random.default_rng(ask.seed).permutation(len(filters))[: ask.count]
    return np.sort(drawn).astype(np.int64)


CRITERIA: dict[str, Criterion] = {
    "bafd": _by_local_power,
    "fpgm": _by_summed_distance,
    "l1": _by_norm(1),
    "l2": _by_norm(2),
    "random": _by_chance,
}
"""Criteria by name."""
