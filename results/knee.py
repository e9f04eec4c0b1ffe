"""The knee of a front: where giving up a little of one objective stops buying much of another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["knee_order"]


def knee_order(values: NDArray[np.float64], directions: Sequence[str]) -> NDArray[np.int64]:
    """Order the members of a front from the knee outwards.

    Every objective is scaled over the front to [0, 1] with 1 the best, costs (minimised, all above zero) by
    their logarithm: going from 8 ms to 4 ms counts as much as from 2 ms to 1 ms. The sum of the scaled
    objectives is then, up to a factor and an offset, the distance to the chord that joins the two ends of
    the front (for more than two objectives: to the plane of equal sums), and the knee has the greatest.

    Source: Das, On characterizing the "knee" of the Pareto curve based on normal-boundary intersection,
    Structural Optimization 18, 1999 (the chord is his convex hull of individual minima); the logarithm is
    ours, because latencies compare by ratio.

    Args:
        values: (N, M) the objectives of mutually non-dominated points, finite, N >= 1.
        directions: M times "maximize" or "minimize".

    Returns:
        (N,) indices, knee first; among equals the one better in the first maximised objective comes first,
        then the earlier row.
    """
    points = np.asarray(values, dtype=np.float64)
    scaled = np.stack([_scaled(column, kind) for column, kind in zip(points.T, directions, strict=True)])
    # Sums that differ by rounding alone (both ends of every front) must tie, or the order would be chance.
    distance = np.round(scaled.sum(axis=0), 12)
    first = list(directions).index("maximize") if "maximize" in directions else 0
    return np.lexsort((np.arange(len(points)), -scaled[first], -distance)).astype(np.int64)


def _scaled(column: NDArray[np.float64], direction: str) -> NDArray[np.float64]:
    gain = column
    if direction == "minimize":
        gain = -np.log(column) if (column > 0).all() else -column
    low, high = gain.min(), gain.max()
    return np.zeros_like(gain) if high == low else (gain - low) / (high - low)
