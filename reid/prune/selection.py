"""Which filters of a layer to let decay: the local geometry criterion of BAFD.

A filter is redundant when its nearest neighbours are near. All functions here see one matrix with a filter
per row; what a row stands for (one convolution, or the tied convolutions of a unit) is the caller's business.

*Source:* soft person re-identification network pruning via block-wise adjacent filter decaying (BAFD), IEEE
Transactions on Cybernetics; the selection by summed distance is FPGM (He et al., Filter Pruning via Geometric
Median, CVPR 2019, section 3.2).
"""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from reid.errors import ArtifactError, ConfigError

__all__ = [
    "bafd_local_ranking",
    "bafd_selection",
    "decayed_filters",
    "filter_distances",
    "filter_rows",
    "least_summed",
]

_Floats = NDArray[np.float64]
_Indices = NDArray[np.int64]

# Two powers closer than this tie (numpy.isclose's defaults, as in the published code).
_RELATIVE_TIE = 1e-5
_ABSOLUTE_TIE = 1e-8
# Below this share of the squared norms |a|² + |b|² - 2ab has lost digits; the pair is subtracted directly.
_CANCELLATION = 1e-4
# Far above the rounding of the running sums, far below any real difference between filters.
_SUM_TIE = 1e-10


def bafd_selection(weight: ArrayLike | torch.Tensor, knn: int, rate: float, efficient: bool) -> _Indices:
    """Filters that one epoch of BAFD lets decay.

    The filter of least local power (summed distance to its `knn` nearest, itself counted) goes first and the
    powers are renewed without it; powers that tie are told apart by the smaller mean distance to all filters
    not yet removed, then by their order. Where at most `knn` filters stay, those with the smallest summed
    distance go (FPGM).

    Args:
        weight: (n, ...) finite weights, one filter per row, n >= 1.
        knn: neighbours in the local power, the filter itself counted, >= 1.
        rate: share of filters that decay, 0 <= rate < 1; their number is floor(n * rate).
        efficient: above a rate of one half choose greedily the filters that stay instead (largest local power
            first); faster, and not always the same set.

    Returns:
        (floor(n * rate),) int64, ascending.

    Raises:
        ConfigError: `knn` or `rate` is out of range, or `weight` holds no filter.
        ArtifactError: `weight` holds NaN or infinities.

    Source: BAFD, filter selection; see the module.
    """
    if not 0 <= rate < 1:
        raise ConfigError(f"rate must be 0 <= rate < 1, got {rate!r}")
    distances = filter_distances(weight)
    count = math.floor(len(distances) * rate)
    return decayed_filters(distances, knn, count, keep_greedily=efficient and rate > 0.5)


def bafd_local_ranking(weight: ArrayLike | torch.Tensor, knn: int) -> _Floats:
    """Local powers of a layer's filters in the order of their removal, comparable between layers.

    Filters go as in `bafd_selection` until `knn` are left; these follow with their summed distances to one
    another.

    Args:
        weight: (n, ...) finite weights, one filter per row, n >= 1.
        knn: neighbours in the local power, the filter itself counted, >= 1.

    Returns:
        (n,) float64 >= 0, divided by their L2 norm (all zero where all filters are equal).

    Raises:
        ConfigError: `knn` is below 1, or `weight` holds no filter.
        ArtifactError: `weight` holds NaN or infinities.

    Source: BAFD, iterative local ranking; see the module.
    """
    distances = filter_distances(weight)
    removed, powers = _remove_one_by_one(distances, knn, max(len(distances) - knn, 0), largest=False)
    last = np.setdiff1d(np.arange(len(distances)), removed)
    scores = np.concatenate([powers, distances[np.ix_(last, last)].sum(axis=1)])
    norm = float(np.linalg.norm(scores))
    return scores / norm if norm > 0 else scores


def decayed_filters(distances: _Floats, knn: int, count: int, *, keep_greedily: bool) -> _Indices:
    """The `count` filters to let decay, from their distances.

    Args:
        distances: (n, n) symmetric, zero diagonal; from `filter_distances`.
        knn: neighbours in the local power, the filter itself counted, >= 1.
        count: number of filters to select, 0 <= count < n.
        keep_greedily: choose the filters that stay, largest local power first, and select the rest.

    Returns:
        (count,) int64, ascending.

    Raises:
        ConfigError: `knn` is below 1.
    """
    kept = len(distances) - count
    if knn >= kept:
        return least_summed(distances, count)
    if not keep_greedily:
        return np.sort(_remove_one_by_one(distances, knn, count, largest=False)[0])
    stays = _remove_one_by_one(distances, knn, kept, largest=True)[0]
    return np.setdiff1d(np.arange(len(distances)), stays)


def least_summed(distances: _Floats, count: int) -> _Indices:
    """The `count` filters of smallest summed distance; equal filters, whose sums differ by rounding, in their order.

    Args:
        distances: (n, n) symmetric, zero diagonal; from `filter_distances`.
        count: number of filters to select, 0 <= count <= n.

    Returns:
        (count,) int64, ascending.
    """
    sums = distances.sum(axis=1)
    shares = np.round(sums / max(sums.max(), np.finfo(np.float64).tiny), 10)
    return np.sort(np.argsort(shares, kind="stable")[:count])


def filter_rows(weight: ArrayLike | torch.Tensor) -> _Floats:
    """(n, k) float64: the weights of a layer (n, ...), one filter per row, n >= 1.

    Raises:
        ConfigError: `weight` holds no filter.
    """
    if isinstance(weight, torch.Tensor):
        weight = weight.detach().to("cpu", torch.float64).numpy()
    rows = np.asarray(weight, dtype=np.float64)
    if rows.ndim < 2 or rows.size == 0:
        raise ConfigError(f"weight must hold one filter per row, got shape {rows.shape}")
    return rows.reshape(len(rows), -1)


def filter_distances(weight: ArrayLike | torch.Tensor) -> _Floats:
    """Euclidean distances between the filters of a layer.

    Args:
        weight: (n, ...) finite weights, one filter per row, n >= 1.

    Returns:
        (n, n) float64, exactly symmetric, zero diagonal, exactly zero between equal filters.

    Raises:
        ConfigError: `weight` holds no filter.
        ArtifactError: `weight` holds NaN or infinities.
    """
    rows = np.ascontiguousarray(filter_rows(weight))
    gram = rows @ rows.T
    squared_norms = gram.diagonal()
    scale = squared_norms[:, None] + squared_norms
    if not np.isfinite(scale).all():
        raise ArtifactError("the weights of a layer hold NaN or infinities; lower the learning rate")
    squared = np.maximum(scale - 2 * gram, 0)
    # Not every BLAS gives an exactly symmetric product, and the closest pair must tie.
    squared = np.minimum(squared, squared.T)
    np.fill_diagonal(squared, 0)
    _subtract_directly(squared, rows, np.triu(squared < _CANCELLATION * scale, 1))
    return np.sqrt(squared, out=squared)


def _subtract_directly(squared: _Floats, rows: _Floats, near: NDArray[np.bool_]) -> None:
    """Replace the entries of `squared` marked above the diagonal of `near` by exact differences."""
    for first in np.flatnonzero(near.any(axis=1)):
        others = np.flatnonzero(near[first])
        exact = np.square(rows[others] - rows[first]).sum(axis=1)
        squared[first, others] = squared[others, first] = exact


def _remove_one_by_one(
    distances: _Floats, knn: int, count: int, *, largest: bool
) -> tuple[_Indices, _Floats]:
    """Take `count` filters out, always the one of extreme local power among those left.

    Only the filters that had the removed one among their neighbours need a new power; a stable order of each
    row's distances, made once, yields it.

    Returns:
        The filters in removal order and the power each had when it went.
    """
    if knn < 1:
        raise ConfigError(f"knn must be at least 1, got {knn!r}")
    size, sign = len(distances), (-1.0 if largest else 1.0)
    removed, powers_then = np.empty(count, np.int64), np.empty(count)
    if count == 0:
        return removed, powers_then
    others = distances + np.diag(np.full(size, np.inf))
    order = np.argsort(others, axis=1)
    neighbours = order[:, : knn - 1].copy()
    powers = sign * np.take_along_axis(others, neighbours, axis=1).sum(axis=1)
    sums = sign * distances.sum(axis=1)
    left = np.ones(size, np.bool_)
    for step in range(count):
        gone = _least(powers, sums)
        removed[step], powers_then[step] = gone, sign * powers[gone]
        left[gone], powers[gone] = False, np.inf
        sums -= sign * distances[gone]
        for row in np.flatnonzero((neighbours == gone).any(axis=1) & left):
            candidates = order[row]
            neighbours[row] = candidates[left[candidates]][: knn - 1]
            powers[row] = sign * others[row, neighbours[row]].sum()
    return removed, powers_then


def _least(powers: _Floats, sums: _Floats) -> int:
    """The first filter of least power, ties told apart by the least sum."""
    least = powers.min()
    tied = np.flatnonzero(powers <= least + _ABSOLUTE_TIE + _RELATIVE_TIE * abs(least))
    least_sum = sums[tied].min()
    return int(tied[np.argmax(sums[tied] <= least_sum + _SUM_TIE * abs(least_sum))])
