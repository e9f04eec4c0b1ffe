"""How much of the objective space a set of points covers, down to a reference point."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.errors import ConfigError
from results.front import as_gains, pareto_front

__all__ = ["hypervolume"]


def hypervolume(values: ArrayLike, directions: Sequence[str], reference: ArrayLike) -> float:
    """Exact volume of the region that is at least as good as the reference and no better than some point.

    Args:
        values: (N, M), one row a point; a row with NaN, or not better than the reference in every objective,
            adds nothing.
        directions: M of "maximize" or "minimize".
        reference: (M,), finite.

    Returns:
        The volume, in the product of the objectives' units; 0.0 without points, infinite when a point that
        counts is infinitely good. Time O(N log N) for M <= 3.

    Raises:
        ConfigError: unknown direction, shapes that do not fit, or a reference that is not finite.

    Source: While, Bradstreet, Barone, A fast way of calculating exact hypervolumes, IEEE TEVC 2012, section 3
    (exclusive volumes of limited sets, one objective sliced off at each level); Beume, Fonseca, Lopez-Ibanez,
    Paquete, Vahrenhold, On the complexity of computing the hypervolume indicator, IEEE TEVC 2009, section IV
    (M = 3: a sweep over one objective with the staircase of the other two).
    """
    gains = as_gains(values, directions)
    zero = as_gains(np.atleast_2d(np.asarray(reference, dtype=np.float64)), directions)[0]
    if not np.isfinite(zero).all():
        raise ConfigError(f"reference must be finite, got {np.asarray(reference).tolist()}")
    heights = gains - zero
    # A comparison with NaN is false, so NaN rows fall out here as well.
    heights = heights[(heights > 0).all(axis=1)]
    if np.isinf(heights).any():
        return float("inf")
    return _volume(heights)


def _volume(heights: NDArray[np.float64]) -> float:
    """Volume of the union of the boxes [0, h] of (N, M) positive heights."""
    if not len(heights):
        return 0.0
    if heights.shape[1] == 1:
        return float(heights.max())
    if heights.shape[1] == 3:
        return _sweep(heights[np.argsort(-heights[:, 2], kind="stable")])
    front = np.unique(_undominated(heights), axis=0)[::-1]
    if heights.shape[1] == 2:
        # Along the front the first objective falls while the second rises: a staircase.
        steps = np.diff(front[:, 1], prepend=0.0)
        return float(front[:, 0] @ steps)
    front = front[np.argsort(-front[:, -1], kind="stable")]
    return float(sum(_exclusive(front, index) for index in range(len(front))))


def _sweep(points: NDArray[np.float64]) -> float:
    """Volume under (N, 3) points that fall in their last column: the area of the staircase times each step down."""
    depths = -np.diff(points[:, 2], append=0.0)
    # Of the corners that count so far; the firsts rise, the seconds fall.
    firsts: list[float] = []
    seconds: list[float] = []
    area = volume = 0.0
    for (first, second), depth in zip(points[:, :2].tolist(), depths.tolist(), strict=True):
        area += _add_corner(firsts, seconds, first, second)
        volume += area * depth
    return volume


def _add_corner(firsts: list[float], seconds: list[float], first: float, second: float) -> float:
    """Put a corner on the staircase, take away those it covers, and give the area gained."""
    end = bisect_left(firsts, first)
    height = seconds[end] if end < len(seconds) else 0.0
    if height >= second:
        return 0.0
    stop = end + 1 if end < len(firsts) and firsts[end] == first else end
    begin, right, gained = end, first, 0.0
    while begin and seconds[begin - 1] <= second:
        begin -= 1
        gained += (right - firsts[begin]) * (second - height)
        right, height = firsts[begin], seconds[begin]
    left = firsts[begin - 1] if begin else 0.0
    gained += (right - left) * (second - height)
    firsts[begin:stop], seconds[begin:stop] = [first], [second]
    return gained


def _exclusive(front: NDArray[np.float64], index: int) -> float:
    """Volume of box `index` outside the boxes before it, each at least as high in the last column."""
    base = front[index, :-1]
    shared = np.minimum(front[:index, :-1], base)
    return float(front[index, -1] * (np.prod(base) - _volume(shared)))


def _undominated(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    return heights[pareto_front(heights, ["maximize"] * heights.shape[1])]
