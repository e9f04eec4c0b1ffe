"""How much of an objective each searched parameter explains, with a measure of what chance would explain.

Numpy alone: the page is made where no sampler and no regression library is installed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.record import Record

__all__ = ["LEAST_TRIALS", "Share", "importance", "variance_shares"]

LEAST_TRIALS = 8
"""Fewer say nothing: any two groups of three trials differ."""

_BINS = 8
_PER_BIN = 4
_SHUFFLES = 100
_CHANCE = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one parameter explains alone.

    Attributes:
        name: of the parameter.
        share: of the objective's variance, 0 <= share <= 1.
        chance: the share that 95 of 100 shuffled objectives stay within; a share below it means nothing.
    """

    name: str
    share: float
    chance: float


def importance(records: Sequence[Record], metric: str) -> tuple[int, tuple[Share, ...]]:
    """Shares of the searched parameters in one metric, over the trials that measured it.

    A metric that is above zero everywhere and no rate is taken by its logarithm: costs compare by ratio.

    Returns:
        How many trials took part, and the shares, greatest first; none with fewer than `LEAST_TRIALS`.
    """
    measured = [record for record in records if metric in record.metrics]
    if len(measured) < LEAST_TRIALS:
        return len(measured), ()
    values = np.array([record.metrics[metric] for record in measured], dtype=np.float64)
    if (values > 0).all() and values.max() > 1:
        values = np.log(values)
    names = dict.fromkeys(name for record in measured for name in record.params)
    parameters = {name: [record.params.get(name) for record in measured] for name in names}
    return len(measured), variance_shares(values, parameters)


def variance_shares(
    values: NDArray[np.float64], parameters: Mapping[str, Sequence[Any]]
) -> tuple[Share, ...]:
    """Share of the variance of `values` that the groups of each parameter explain, one parameter at a time.

    The groups are a parameter's values, or up to eight quantile bins where it is a number with many values;
    a trial without the parameter is in a group of its own. What two parameters only explain together shows in
    neither.

    Source: Kelley, An unbiased correlation ratio measure, PNAS 1935 (epsilon squared: the correlation ratio
    less what groups of that size explain on average by chance).

    Args:
        values: (N,) finite.
        parameters: name -> N plain JSON values, None where a trial has none.

    Returns:
        Greatest share first, equal ones by name; constant parameters are left out.
    """
    if not len(values) or np.ptp(values) == 0:
        return ()
    random = np.random.default_rng(0)
    shuffled = random.permuted(np.tile(values, (_SHUFFLES, 1)), axis=1)
    shares = []
    for name, column in parameters.items():
        groups = _groups(column)
        if 1 < groups.max() + 1 < len(values):
            chance = float(np.percentile([_share(row, groups) for row in shuffled], _CHANCE))
            shares.append(Share(name=name, share=_share(values, groups), chance=chance))
    return tuple(sorted(shares, key=lambda share: (-share.share, share.name)))


def _groups(column: Sequence[Any]) -> NDArray[np.int64]:
    """(N,) group of each trial, 0 .. K-1."""
    numeric = all(type(value) in (int, float) for value in column if value is not None)
    known = np.array([value is not None for value in column])
    distinct = {json.dumps(value, sort_keys=True) for value in column}
    bins = min(_BINS, max(2, len(column) // _PER_BIN))
    if not numeric or len(distinct) <= bins:
        labels = np.array([json.dumps(value, sort_keys=True) for value in column])
    else:
        numbers = np.array([value for value in column if value is not None], dtype=np.float64)
        edges = np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1])
        labels = np.full(len(column), -1)
        labels[known] = np.searchsorted(edges, numbers, side="right")
    return np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _share(values: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    count, sizes = len(values), np.bincount(groups)
    centred = values - values.mean()
    largest = np.abs(centred).max()
    if largest == 0:
        return 0.0
    # A share has no scale, and squares of tiny values would be zero; a power of two rounds nothing.
    centred = np.ldexp(centred, -np.frexp(largest)[1])
    between = float((np.bincount(groups, centred) ** 2 / sizes).sum())
    total = float((centred**2).sum())
    within = max(total - between, 0.0)
    return float(np.clip(1 - (within / (count - len(sizes))) / (total / (count - 1)), 0, 1))
