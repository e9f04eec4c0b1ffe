"""Where given gallery images stand in the ranking of their query, without building any ranking.

A row of scores is sorted by value alone, which has vector instructions where sorting with indices has none, and
the few places that matter are looked up there. Rows are worked off in chunks of bounded memory.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from reid.errors import DataError

__all__ = ["CHUNK_BYTES", "common_float", "places_by_distance", "places_in_ranking", "unit_rows"]

CHUNK_BYTES = 128 * 2**20
"""Most memory that scores take at a time (one row of scores a thread, if that is more)."""

# Enough rows for one call to sort for long without the interpreter's lock, few enough to stay in a core's cache.
_BLOCK_ROWS = 16


_Fill = Callable[[slice, NDArray[Any]], None]


def common_float(*features: NDArray[Any]) -> np.dtype[Any]:
    """The type in which features are compared: float64 if any needs it, else float32."""
    return np.dtype(np.float64 if np.result_type(*features, np.float32).itemsize > 4 else np.float32)


def unit_rows(
    features: NDArray[Any], dtype: np.dtype[Any], name: str, keep: NDArray[np.bool_] | None = None
) -> NDArray[Any]:
    """Rows divided by their Euclidean length; a zero row stays zero.

    Args:
        features: (N, D) real numbers; all are checked.
        dtype: float32 or float64, of the result.
        name: of the array, for the message.
        keep: (N,) which rows are wanted; all where it is not given.

    Returns:
        (kept, D) contiguous.

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
    replaced = _scaled_then_unit(rows[awkward], awkward, name)
    if keep is None or keep.all():
        unit: NDArray[Any] = rows / lengths[:, np.newaxis]
        unit[awkward] = replaced
        return unit
    unit = rows[keep]
    unit /= lengths[keep, np.newaxis]
    wanted = keep[awkward]
    unit[np.cumsum(keep)[awkward[wanted]] - 1] = replaced[wanted]
    return unit


def _scaled_then_unit(rows: NDArray[Any], numbers: NDArray[np.intp], name: str) -> NDArray[Any]:
    bad = numbers[~np.isfinite(rows).all(axis=1)]
    if len(bad):
        raise DataError(
            f"{name} holds NaN or infinite values in {len(bad)} rows, the first is row {bad[0]}; "
            "the network that made them diverged or overflowed"
        )
    largest = np.abs(rows).max(axis=1, initial=0, keepdims=True)
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
    copies = _copies(gallery)

    def fill(part: slice, scores: NDArray[Any]) -> None:
        np.matmul(query[part], gallery.T, out=scores)
        # BLAS sums some columns in another order than others, which would undo exact ties.
        scores[:, copies[0]] = scores[:, copies[1]]

    # One product in each thread instead of one product in all of them: BLAS's own threads would go on spinning
    # for a while after each and take the cores from the look-up.
    with threadpool_limits(1, "blas"):
        return _in_threads(fill, (len(query), len(gallery)), gallery.dtype, rows, columns)


def places_by_distance(
    distances: NDArray[Any],
    queries: NDArray[np.intp],
    kept: NDArray[np.intp],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Places of chosen gallery images when part of the gallery is ranked by given distances, least first.

    Args:
        distances: (Q, G) floats without NaN.
        queries: (R,) rows of `distances` that are ranked.
        kept: (K,) ascending columns of `distances` that are ranked.
        rows: (P,) in [0, R), query of each wanted place, ascending.
        columns: (P,) in [0, K), gallery image of each wanted place.

    Returns:
        (P,) number of kept images ahead, counted as in `places_in_ranking`.
    """

    def fill(part: slice, scores: NDArray[Any]) -> None:
        np.negative(distances[queries[part, np.newaxis], kept], out=scores)

    return _in_threads(fill, (len(queries), len(kept)), distances.dtype, rows, columns)


def _in_threads(
    fill: _Fill,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Places in a (Q, G) table of scores, of which `fill` writes the rows that it is asked for."""
    threads = min(_threads(), shape[0])
    ends = np.linspace(0, shape[0], threads + 1, dtype=np.intp).tolist()
    parts = [slice(*pair) for pair in pairwise(np.searchsorted(rows, ends))]
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(
            lambda first, last, part: _places(
                fill, (first, last, shape[1]), dtype, rows[part], columns[part], CHUNK_BYTES // threads
            ),
            *(ends[:-1], ends[1:], parts),
        )
        return np.concatenate(list(found))


def _places(
    fill: _Fill,
    extent: tuple[int, int, int],
    dtype: np.dtype[Any],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    chunk_bytes: int,
) -> NDArray[np.intp]:
    """The part of `_in_threads` from one row to another, of a given width, in one thread."""
    first, last, width = extent
    places = np.empty(len(rows), dtype=np.intp)
    chunks = math.ceil((last - first) / max(1, chunk_bytes // (dtype.itemsize * width)))
    height = math.ceil((last - first) / chunks)
    scores = np.empty((height, width), dtype=dtype)
    for top in range(first, last, height):
        chunk = scores[: last - top]
        fill(slice(top, top + len(chunk)), chunk)
        part = slice(*np.searchsorted(rows, (top, top + height)))
        places[part] = _look_up(chunk, rows[part] - top, columns[part])
    return places


def _look_up(scores: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.intp]:
    """`places_in_ranking` of (R, G) scores; `rows` (P,) ascending in [0, R)."""
    values = scores[rows, columns]
    not_ahead, lower = np.empty((2, len(rows)), dtype=np.intp)
    ends = np.searchsorted(rows, np.arange(len(scores) + 1)).tolist()
    block = np.empty((_BLOCK_ROWS, scores.shape[1]), dtype=scores.dtype)
    for top in range(0, len(scores), _BLOCK_ROWS):
        ascending = block[: len(scores) - top]
        np.copyto(ascending, scores[top : top + _BLOCK_ROWS])
        ascending.sort(axis=1)
        for row, (first, last) in zip(ascending, pairwise(ends[top : top + len(ascending) + 1]), strict=True):
            wanted = values[first:last]
            not_ahead[first:last] = row.searchsorted(wanted, side="right")
            lower[first:last] = row.searchsorted(wanted, side="left")
    places: NDArray[np.intp] = scores.shape[1] - not_ahead
    for pair in np.flatnonzero(not_ahead - lower > 1):
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
