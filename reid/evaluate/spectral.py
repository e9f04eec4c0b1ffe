"""Scoring the head of a ranking again by the scores of the images that resemble each other there."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.evaluate import scores
from reid.evaluate.protocol import Spectral
from reid.evaluate.sides import unit_sides

__all__ = ["spectral_distances"]


def spectral_distances(
    query_features: ArrayLike, gallery_features: ArrayLike, temperature: float = 0.5, top: int = 50
) -> NDArray[np.floating]:
    """Cosine distances, of which each query's smallest are handed out anew among the images they belong to.

    Of the `top` images nearest to a query, F are the unit features and A = softmax(F Fᵀ / temperature) by rows.
    Every one of these images is replaced by the mean A F of those that resemble it and scored by its inner
    product with the query, without being normalised again. The images then exchange their distances so that the
    new order is theirs; all other images keep theirs.

    Args:
        query_features: (Q, D) finite numbers, normalised here.
        gallery_features: (G, D), as for the queries. float64 on either side is computed in float64.
        temperature: of the softmax, > 0.
        top: images scored again, >= 1; all of a smaller gallery. Junk and the query's own camera are among
            them: what is left out is left out when ranking.

    Returns:
        (Q, G) distances in [0, 2] for `rank_distances`, in the type of the computation.

    Raises:
        ConfigError: arrays of the wrong shape, or a setting out of range.
        DataError: a side is empty, or features are not finite.

    Source: Luo et al., Spectral Feature Transformation for Person Re-identification, ICCV 2019, section 3.4
        (local blurring, as a step after the ranking).
    """
    settings = Spectral(temperature=temperature, top=top)
    query, gallery = unit_sides(query_features, gallery_features)
    distances: NDArray[Any] = np.clip(1 - query @ gallery.T, 0, 2)
    count = min(settings.top, len(gallery))
    rows_at_once = max(1, scores.CHUNK_BYTES // (2 * count * gallery.shape[1] * gallery.itemsize))
    for start in range(0, len(query), rows_at_once):
        rows = slice(start, start + rows_at_once)
        _exchange(distances[rows], query[rows], gallery, settings.temperature, count)
    return distances


def _exchange(
    distances: NDArray[Any], query: NDArray[Any], gallery: NDArray[Any], temperature: float, count: int
) -> None:
    """`spectral_distances` of some rows, in place."""
    # In the order of the gallery, so that the stable sorts below leave equal images so.
    nearest = np.sort(np.argpartition(distances, count - 1, axis=1)[:, :count], axis=1)
    features = gallery[nearest]
    similar = features @ features.transpose(0, 2, 1) / temperature
    weights = np.exp(similar - similar.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    # (A F) q = A (F q): the blurred features themselves are not needed.
    blurred = (weights @ (features @ query[:, :, np.newaxis]))[:, :, 0]
    order = np.take_along_axis(nearest, np.argsort(-blurred, axis=1, kind="stable"), axis=1)
    handed_out = np.sort(np.take_along_axis(distances, nearest, axis=1), axis=1)
    np.put_along_axis(distances, order, handed_out, axis=1)
