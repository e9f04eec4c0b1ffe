"""Where given gallery images stand in the ranking of their query, without building any ranking.

Of a row of scores only those are sorted that reach the last wanted image, by value alone, which has vector
instructions where sorting with indices has none; the few places that matter are looked up there. Rows are worked
off in chunks of bounded memory.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.errors import DataError

__all__ = ["CHUNK_BYTES", "places_in_ranking", "unit_rows"]

CHUNK_BYTES = 64 * 2**20
"""Most memory that scores take at a time (one row of scores, if that is more)."""

# Enough rows for the work to lie in NumPy's loops, which let other threads run, and not between them.
_BLOCK_ROWS = 128


def unit_rows(features: NDArray[Any], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """Rows divided by their Euclidean length; a zero row stays zero.

    Args:
        features: (N, D) real numbers.
        dtype: float32 or float64, of the result.
        name: of the array, for the message.

    Returns:
        (N, D) contiguous.

    Raises:
        DataError: a feature is NaN or infinite; names the first row and how many there are.
    """
    rows = np.ascontiguousarray(features, dtype=dtype)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    limits = np.finfo(dtype)
    # The squares of huge or tiny rows leave the range of the type: those are scaled before they are squared.
    awkward = np.flatnonzero(~((squares > limits.tiny / limits.eps) & (squares < limits.max)))
    lengths = np.sqrt(squares)
    lengths[awkward] = 1
    unit: NDArray[Any] = rows / lengths[:, np.newaxis]
    if len(awkward):
        unit[awkward] = _scaled_then_unit(rows[awkward], awkward, name)
    return unit


def _scaled_then_unit(rows: NDArray[Any], numbers: NDArray[np.intp], name: str) -> NDArray[Any]:
    bad = numbers[~np.isfinite(rows).all(axis=1)]
    if len(bad):
        raise DataError(
            f"{name} holds NaN or infinite values in {len(bad)} rows, the first is row {bad[0]}; "
            "the network that made them diverged or overflowed"
        )
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: NDArray[Any] = scaled / np.where(lengths > 0, lengths, 1)
    return unit


def places_in_ranking(
    query: NDArray[Any], gallery: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Places of chosen gallery images when the whole gallery is ranked by inner product.

    Args:
        query: (Q, D) floats.
        gallery: (G, D), of the same type.
        rows: (P,) query of each wanted place, ascending.
        columns: (P,) gallery image of each wanted place.

    Returns:
        (P,) number of gallery images ahead: those that score more, and those of equal score that come earlier
        in the gallery. Equal gallery rows score equally.
    """
    places = np.empty(len(rows), dtype=np.intp)
    copies, originals = _copies(gallery)
    height = max(1, CHUNK_BYTES // (gallery.itemsize * len(gallery)))
    scores = np.empty((min(height, len(query)), len(gallery)), dtype=gallery.dtype)
    with ThreadPoolExecutor(_threads()) as pool:
        for top in range(0, len(query), height):
            chunk = scores[: len(query) - top]
            np.matmul(query[top : top + height], gallery.T, out=chunk)
            # BLAS sums some columns in another order than others, which would undo exact ties.
            chunk[:, copies] = chunk[:, originals]
            cuts = np.append(np.arange(0, len(chunk), _BLOCK_ROWS), len(chunk))
            parts = [slice(*ends) for ends in pairwise(np.searchsorted(rows, top + cuts))]
            found = pool.map(
                _look_up,
                (chunk[slice(*ends)] for ends in pairwise(cuts)),
                (rows[part] - top - cut for part, cut in zip(parts, cuts, strict=False)),
                (columns[part] for part in parts),
            )
            for part, part_places in zip(parts, found, strict=True):
                places[part] = part_places
    return places


def _look_up(scores: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.intp]:
    """`places_in_ranking` of (R, G) scores; `rows` (P,) ascending in [0, R)."""
    values = scores[rows, columns]
    # What scores less than the last wanted image cannot stand ahead of any; that is most of the gallery.
    lowest = np.full(len(scores), np.inf, dtype=scores.dtype)
    np.minimum.at(lowest, rows, values)
    reaching = np.flatnonzero(scores >= lowest[:, np.newaxis])
    rivals = scores.take(reaching)
    row_ends = np.arange(len(scores) + 1)
    starts = np.searchsorted(reaching, row_ends * scores.shape[1])
    not_ahead = np.empty(len(rows), dtype=np.intp)
    for (start, end), (first, last) in zip(
        pairwise(starts.tolist()), pairwise(np.searchsorted(rows, row_ends).tolist()), strict=True
    ):
        ahead = rivals[start:end]
        ahead.sort()
        not_ahead[first:last] = ahead.searchsorted(values[first:last], side="right")
    places: NDArray[np.intp] = np.diff(starts)[rows] - not_ahead
    next_lower = starts[rows] + np.maximum(not_ahead - 2, 0)
    tied = (not_ahead > 1) & (rivals[next_lower] == values)
    for pair in np.flatnonzero(tied):
        places[pair] += np.count_nonzero(scores[rows[pair], : columns[pair]] == values[pair])
    return places


def _copies(gallery: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows that equal an earlier row, and the first such row of each."""
    # Equal rows have equal keys, so only rows that share a key are compared in full.
    keys = np.einsum("ij,j->i", gallery, np.random.default_rng(0).random(gallery.shape[1], dtype=np.float32))
    _, group, size = np.unique(keys, return_inverse=True, return_counts=True)
    suspects = np.flatnonzero(size[group] > 1)
    if not len(suspects):
        return suspects, suspects
    _, first, twin = np.unique(gallery[suspects], axis=0, return_index=True, return_inverse=True)
    originals = suspects[first[twin]]
    copied = originals != suspects
    return suspects[copied], originals[copied]


def _threads() -> int:
    """Threads this process may use: what OMP_NUM_THREADS grants (it binds BLAS too), else its cores."""
    granted = os.environ.get("OMP_NUM_THREADS", "")
    return int(granted) if granted.isdecimal() and int(granted) else len(os.sched_getaffinity(0))
