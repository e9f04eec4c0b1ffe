"""Which points no other point beats: the Pareto front of plain arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.errors import ConfigError

__all__ = ["as_gains", "pareto_front"]


def pareto_front(values: ArrayLike, directions: Sequence[str]) -> NDArray[np.bool_]:
    """Mark the points that are not dominated.

    A point is dominated when another is at least as good in every objective and better in one; equal points
    are therefore all kept.

    Args:
        values: (N, M), one row a point; infinities are ordinary values, a row with NaN is never on the front.
        directions: M of "maximize" or "minimize".

    Returns:
        (N,) bool. Time O(N log N) for M <= 2, otherwise O(N F M) with F distinct points on the front.

    Raises:
        ConfigError: unknown direction, or shapes that do not fit.

    Source: Kung, Luccio, Preparata, On finding the maxima of a set of vectors, JACM 1975, section 2 (M = 2).
    """
    gains = as_gains(values, directions)
    known = ~np.isnan(gains).any(axis=1)
    front = np.zeros(len(gains), dtype=np.bool_)
    rows = gains[known]
    if len(rows):
        front[known] = _front_of_two(_padded(rows)) if rows.shape[1] <= 2 else _front_of_many(rows)
    return front


def as_gains(values: ArrayLike, directions: Sequence[str]) -> NDArray[np.float64]:
    """(N, M) float64 in which more is better in every column.

    Raises:
        ConfigError: unknown direction, or shapes that do not fit.
    """
    unknown = [direction for direction in directions if direction not in _SIGNS]
    if unknown or not len(directions):
        raise ConfigError(
            f"directions must be maximize or minimize, one per objective, got {list(directions)!r}"
        )
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        array = array.reshape(0, len(directions))
    if array.ndim != 2 or array.shape[1] != len(directions):
        raise ConfigError(f"values must be (N, {len(directions)}), got shape {array.shape}")
    # Adding zero turns the -0.0 that a negation makes into 0.0, so that equal values are equal bit by bit.
    gains: NDArray[np.float64] = array * [_SIGNS[direction] for direction in directions] + 0.0
    return gains


_SIGNS = {"maximize": 1.0, "minimize": -1.0}


def _padded(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows if rows.shape[1] == 2 else np.column_stack((rows, np.zeros(len(rows))))


def _front_of_two(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    order = np.lexsort((-rows[:, 1], -rows[:, 0]))
    first, second = rows[order].T
    opens_group = np.ones(len(order), dtype=np.bool_)
    opens_group[1:] = first[1:] != first[:-1]
    group_start = np.flatnonzero(opens_group)
    group_best = second[group_start]
    # Every earlier group is better in the first objective: a group survives only above all their seconds.
    beats_earlier = np.ones(len(group_start), dtype=np.bool_)
    beats_earlier[1:] = group_best[1:] > np.maximum.accumulate(group_best)[:-1]
    group = np.cumsum(opens_group) - 1
    front = np.empty(len(order), dtype=np.bool_)
    front[order] = beats_earlier[group] & (second == group_best[group])
    return front


def _front_of_many(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    points, group = np.unique(rows, axis=0, return_inverse=True)
    front = np.zeros(len(points), dtype=np.bool_)
    # In descending lexicographic order only earlier points can dominate: the first one left is on the front.
    left = np.arange(len(points))[::-1]
    while len(left):
        head = left[0]
        front[head] = True
        left = left[1:]
        left = left[(points[left] > points[head]).any(axis=1)]
    return front[group.reshape(-1)]
