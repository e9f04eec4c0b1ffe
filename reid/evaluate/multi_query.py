"""Queries made of several images."""

from dataclasses import replace
from typing import Any

import numpy as np

from reid.errors import DataError
from reid.evaluate.labelled import Labelled
from reid.evaluate.scores import unit_rows

__all__ = ["averaged_queries"]


def averaged_queries(query: Labelled, further: Labelled) -> Labelled:
    """The queries, each with the mean unit feature of all further images of its identity and camera.

    A query without such an image keeps its own feature.

    Args:
        query: Q queries.
        further: M images, of the same feature width.

    Raises:
        DataError: no query has such an image, or features are not finite.

    Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015, section 5.1 (multiple queries).
    """
    # Pairs of identity and camera as numbers, the same on both sides.
    pairs = np.stack(
        [np.concatenate([query.ids, further.ids]), np.concatenate([query.cameras, further.cameras])]
    )
    _, group = np.unique(pairs, axis=1, return_inverse=True)
    of_query, of_further = group[: len(query.ids)], group[len(query.ids) :]
    dtype = np.dtype(np.float64)
    sums: Any = np.zeros((group.max() + 1, further.features.shape[1]), dtype=dtype)
    np.add.at(sums, of_further, unit_rows(further.features, dtype, "multi_query_features"))
    counts = np.bincount(of_further, minlength=len(sums))[of_query]
    if not counts.any():
        raise DataError(
            "no query has a multi-query image of its identity and camera; check that both belong to one split"
        )
    means = sums[of_query] / np.maximum(counts, 1)[:, np.newaxis]
    own = unit_rows(query.features, dtype, "query_features")
    features = np.where(counts[:, np.newaxis] > 0, means, own)
    return replace(query, features=features.astype(np.result_type(query.features, np.float32)))
