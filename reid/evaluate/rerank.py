"""Re-ranking by neighbourhoods that images share, without a table of all images against all.

Neighbourhoods are sparse: of 23,100 images each has some tens of neighbours. Products of features are made in
chunks, and of each row only the nearest images and the largest distance are kept.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from reid.evaluate import scores
from reid.evaluate.protocol import Rerank
from reid.evaluate.sides import unit_sides

__all__ = ["rerank"]


def rerank(
    query_features: ArrayLike,
    gallery_features: ArrayLike,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> NDArray[np.floating]:
    """Distances that count two images as near if they are among each other's neighbours.

    The distance is (1 - lambda) times the Jaccard distance between k-reciprocal neighbourhoods plus lambda times
    the original one. Queries and gallery together are the images among which neighbours are sought, junk and
    the query's own camera included; leave those out when ranking, not before. An image is its own nearest.

    Where the paper and its authors' program differ, this is the program, whose figures are those that papers
    compare with: an image has k1 neighbours besides itself; the original distance is the squared Euclidean one of
    unit features divided by the largest in its row; a candidate's neighbourhood joins if it shares strictly more
    than two thirds; neighbourhood weights are divided by their sum. The layumi baseline squares twice; this
    does not.

    Args:
        query_features: (Q, D) finite numbers, normalised here.
        gallery_features: (G, D), as for the queries. float64 on either side is computed in float64.
        k1: neighbours that must be mutual, >= 1; round(k1 / 2) decides about a candidate's neighbourhood.
        k2: neighbours that a neighbourhood is averaged over, the image itself counted, >= 1.
        lambda_value: weight of the original distance, in [0, 1].

    Returns:
        (Q, G) distances in [0, 1] for `rank_distances`, in the type of the computation.

    Raises:
        ConfigError: arrays of the wrong shape, or a setting out of range.
        DataError: a side is empty, or features are not finite.

    Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017, sections
        3.2 to 3.5.

    Example:
        >>> rerank([[1.0, 0.0]], [[1.0, 0.1], [0.0, 1.0]], k1=1, k2=1).argsort().tolist()
        [[0, 1]]
    """
    settings = Rerank(k1=k1, k2=k2, lambda_value=lambda_value)
    query, gallery = unit_sides(query_features, gallery_features)
    features = np.concatenate([query, gallery])
    near = _Neighbours.among(features, max(k1 + 1, k2))
    weights = _encoded(features, near, k1)
    averaged = near.matrix(k2, dtype=features.dtype) @ weights
    averaged.data /= min(k2, len(features))
    return _blended(features, len(query), near, averaged.tocsr(), settings.lambda_value)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Neighbours:
    """The nearest images of each of N images.

    Attributes:
        nearest: (N, K) images, nearest first, the image itself foremost.
        farthest: (N,) squared distance of the farthest image; 1 where all images are the same.
    """

    nearest: NDArray[np.intp]
    farthest: NDArray[Any]

    @classmethod
    def among(cls, features: NDArray[Any], count: int) -> "_Neighbours":
        """Up to `count` neighbours of each row of (N, D) unit features."""
        total = len(features)
        count = min(count, total)
        nearest = np.empty((total, count), dtype=np.intp)
        farthest = np.empty(total, dtype=features.dtype)
        for rows in _chunks(total, (features.itemsize + nearest.itemsize) * total):
            cosines = features[rows] @ features.T
            farthest[rows] = _squared_distance(cosines.min(axis=1))
            own = np.arange(len(cosines))
            cosines[own, own + rows.start] = np.inf
            # In the order of the images, so that sorting leaves those of equal score so.
            best = np.sort(np.argpartition(cosines, total - count, axis=1)[:, total - count :], axis=1)
            order = np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1, kind="stable")
            nearest[rows] = np.take_along_axis(best, order, axis=1)
        farthest[farthest == 0] = 1
        return cls(nearest=nearest, farthest=farthest)

    def matrix(self, count: int, dtype: Any = np.float32) -> Any:
        """(N, N) sparse, 1 where the column is among the `count` nearest of the row."""
        total = len(self.nearest)
        columns = self.nearest[:, :count]
        ends = np.arange(total + 1) * columns.shape[1]
        entries = np.ones(columns.size, dtype=dtype)
        return sparse.csr_array((entries, columns.ravel(), ends), shape=(total, total))

    def mutual(self, count: int) -> Any:
        """(N, N) sparse, 1 where row and column are each among the `count` nearest of the other."""
        one_way = self.matrix(count)
        return one_way.multiply(one_way.T).tocsr()


def _encoded(features: NDArray[Any], near: _Neighbours, k1: int) -> Any:
    """(N, N) sparse, weights of each image's expanded k-reciprocal neighbourhood; rows sum to 1."""
    mutual, half = near.mutual(k1 + 1), near.mutual(round(k1 / 2) + 1)
    sizes = np.diff(half.indptr)
    shared = (mutual @ half).multiply(mutual).tocsr()
    # Counts are whole numbers, exact in float32.
    shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.float32)
    shared.eliminate_zeros()
    encoded = (mutual + shared @ half).tocsr()
    rows, columns = np.repeat(np.arange(len(features)), np.diff(encoded.indptr)), encoded.indices
    weights = np.empty(len(rows), dtype=features.dtype)
    for part in _chunks(len(rows), 2 * features.shape[1] * features.itemsize):
        cosines = np.einsum("ij,ij->i", features[rows[part]], features[columns[part]])
        weights[part] = np.exp(-_squared_distance(cosines) / near.farthest[rows[part]])
    weights /= np.bincount(rows, weights)[rows]
    return sparse.csr_array((weights, columns, encoded.indptr), shape=encoded.shape)


def _blended(
    features: NDArray[Any], queries: int, near: _Neighbours, encoded: Any, lambda_value: float
) -> NDArray[np.floating]:
    """Jaccard distance between the rows of queries and of the gallery, and the original one, weighted."""
    query, gallery = features[:queries], features[queries:]
    distances = np.empty((queries, len(gallery)), dtype=features.dtype)
    for rows in _chunks(queries, 2 * features.itemsize * len(gallery)):
        original = _squared_distance(query[rows] @ gallery.T) / near.farthest[:queries][rows, np.newaxis]
        distances[rows] = 1 - lambda_value + lambda_value * original
    by_column = encoded[queries:].tocsc()
    for row in range(queries):
        entries = slice(*encoded.indptr[row : row + 2])
        starts = by_column.indptr[encoded.indices[entries]]
        counts = by_column.indptr[encoded.indices[entries] + 1] - starts
        found = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        smaller = np.minimum(np.repeat(encoded.data[entries], counts), by_column.data[found])
        overlap = np.bincount(by_column.indices[found], smaller, minlength=len(gallery))
        distances[row] -= (1 - lambda_value) * overlap / (2 - overlap)
    return distances


def _squared_distance(cosine: NDArray[Any]) -> NDArray[Any]:
    # Rounding makes a cosine of equal directions a little more than 1.
    squared: NDArray[Any] = np.maximum(2 - 2 * cosine, 0)
    return squared


def _chunks(rows: int, row_bytes: int) -> list[slice]:
    """Consecutive parts of `rows` rows that take at most `CHUNK_BYTES` each, or one row."""
    height = max(1, scores.CHUNK_BYTES // row_bytes)
    return [slice(top, min(top + height, rows)) for top in range(0, rows, height)]
