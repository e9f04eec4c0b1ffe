"""How much of the objective space a set of points covers, down to a reference point."""

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
        counts is infinitely good.

    Raises:
        ConfigError: unknown direction, shapes that do not fit, or a reference that is not finite.

    Source: While, Bradstreet, Barone, A fast way of calculating exact hypervolumes, IEEE TEVC 2012, section 3
    (exclusive volumes of limited sets, one objective sliced off at each level).
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
    front = np.unique(_undominated(heights), axis=0)[::-1]
    if heights.shape[1] == 2:
        # Along the front the first objective falls while the second rises: a staircase.
        steps = np.diff(front[:, 1], prepend=0.0)
        return float(front[:, 0] @ steps)
    front = front[np.argsort(-front[:, -1], kind="stable")]
    return float(sum(_exclusive(front, index) for index in range(len(front))))


def _exclusive(front: NDArray[np.float64], index: int) -> float:
    """Volume of box `index` outside the boxes before it, each at least as high in the last column."""
    base = front[index, :-1]
    shared = np.minimum(front[:index, :-1], base)
    return float(front[index, -1] * (np.prod(base) - _volume(shared)))


def _undominated(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    return heights[pareto_front(heights, ["maximize"] * heights.shape[1])]
