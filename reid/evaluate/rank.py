"""CMC and mAP of a gallery ranked by cosine similarity, or by distances that are given."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.errors import ConfigError, DataError
from reid.evaluate.labelled import (
    Labelled,
    Labels,
    Pairs,
    matching_pairs,
    normalised,
    ranked_in_gallery,
)
from reid.evaluate.protocol import Protocol
from reid.evaluate.result import RankingResult, figures
from reid.evaluate.scores import places_by_distance, places_in_ranking

__all__ = ["rank", "rank_by_distances", "rank_distances", "rank_labelled"]

# From the queries that have a match, and their pairs, to the places of the pairs.
_Places = Callable[[NDArray[np.intp], Pairs], NDArray[np.intp]]


def rank(
    query_features: ArrayLike,
    query_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_features: ArrayLike,
    gallery_ids: ArrayLike,
    gallery_cameras: ArrayLike,
    *,
    max_rank: int = 50,
    no_match: Literal["skip", "count"] = "skip",
    same_camera: Literal["remove", "keep"] = "remove",
    junk: Literal["remove", "keep"] = "remove",
    distractors: Literal["keep", "remove"] = "keep",
) -> RankingResult:
    """Rank the gallery for every query by cosine similarity and average what comes out.

    Left out of a query's ranking unless asked otherwise: gallery images of identity -1 (junk), and those of the
    query's own identity seen by its own camera. Identities 0 (distractors) and -1 are never a match, so a
    query of either has none. Equal scores keep the order of the gallery, and equal gallery features always
    score equally.

    Args:
        query_features: (Q, D) finite floats, normalised here; a zero row has similarity 0 to everything.
        query_ids: (Q,) integers.
        query_cameras: (Q,) integers.
        gallery_features: (G, D), as for the queries. float64 on either side is ranked in float64.
        gallery_ids: (G,) integers.
        gallery_cameras: (G,) integers.
        max_rank: length of the CMC curve, >= 1; beyond the gallery's end it stays level.
        no_match: as in `Protocol`.
        same_camera: as in `Protocol`.
        junk: as in `Protocol`.
        distractors: as in `Protocol`.

    Returns:
        The figures of all queries.

    Raises:
        ConfigError: shapes that do not fit each other, `max_rank` or a rule out of range.
        DataError: non-finite features, or no query has any match; the message names the cause.

    Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015, section 5.1 (protocol);
        Philbin et al., Object Retrieval with Large Vocabularies, CVPR 2007, section 3.2 (trapezoids).

    Example:
        >>> result = rank([[1.0, 0.0]], [7], [1], [[0.0, 1.0], [1.0, 0.1]], [3, 7], [2, 2])
        >>> result.mAP, result.rank1
        (1.0, 1.0)
    """
    protocol = Protocol(no_match=no_match, same_camera=same_camera, junk=junk, distractors=distractors)
    return rank_labelled(
        Labelled.check("query", query_features, query_ids, query_cameras),
        Labelled.check("gallery", gallery_features, gallery_ids, gallery_cameras),
        protocol,
        max_rank=max_rank,
    )


def rank_distances(
    distances: ArrayLike,
    query_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_ids: ArrayLike,
    gallery_cameras: ArrayLike,
    *,
    max_rank: int = 50,
    no_match: Literal["skip", "count"] = "skip",
    same_camera: Literal["remove", "keep"] = "remove",
    junk: Literal["remove", "keep"] = "remove",
    distractors: Literal["keep", "remove"] = "keep",
) -> RankingResult:
    """Rank the gallery for every query by given distances, least first, under the rules of `rank`.

    Args:
        distances: (Q, G) floats without NaN; equal ones keep the order of the gallery.
        query_ids: (Q,) integers.
        query_cameras: (Q,) integers.
        gallery_ids: (G,) integers.
        gallery_cameras: (G,) integers.
        max_rank: as in `rank`.
        no_match: as in `Protocol`.
        same_camera: as in `Protocol`.
        junk: as in `Protocol`.
        distractors: as in `Protocol`.

    Returns:
        The figures of all queries.

    Raises:
        ConfigError: shapes that do not fit each other, `max_rank` or a rule out of range.
        DataError: distances that are NaN, or no query has any match; the message names the cause.
    """
    protocol = Protocol(no_match=no_match, same_camera=same_camera, junk=junk, distractors=distractors)
    table = np.asarray(distances)
    if table.ndim != 2 or table.dtype.kind != "f":
        raise ConfigError(
            f"distances must be a (queries, gallery) array of floats, got {table.dtype} of shape {table.shape}"
        )
    query = Labels.of("query", table.shape[0], query_ids, query_cameras)
    gallery = Labels.of("gallery", table.shape[1], gallery_ids, gallery_cameras)
    if np.isnan(table).any():
        raise DataError("distances hold NaN; the features that they were computed from are not finite")
    line = protocol.line("distances as given")
    return rank_by_distances(table, query, gallery, protocol, max_rank=max_rank, line=line)


def rank_labelled(
    query: Labelled, gallery: Labelled, protocol: Protocol, *, max_rank: int = 50
) -> RankingResult:
    """`rank` for sides that are checked; `protocol.rerank` and `.spectral` are not looked at.

    Raises:
        ConfigError: as in `rank`.
        DataError: as in `rank`.
    """
    _demand_rank(max_rank)
    query, gallery = normalised(query, gallery, protocol)
    return _ranked(
        query,
        gallery,
        protocol,
        lambda matched, pairs: places_in_ranking(
            query.features[matched], gallery.features, pairs.query, pairs.column
        ),
        max_rank,
        protocol.line("cosine"),
    )


def rank_by_distances(
    distances: NDArray[np.floating],
    query: Labels,
    gallery: Labels,
    protocol: Protocol,
    *,
    max_rank: int = 50,
    line: str,
) -> RankingResult:
    """`rank_distances` for sides that are checked; `line` becomes the protocol of the result.

    Raises:
        ConfigError: as in `rank_distances`.
        DataError: no query has any match.
    """
    _demand_rank(max_rank)
    keep = ranked_in_gallery(gallery, protocol)
    kept = np.flatnonzero(keep)
    return _ranked(
        query,
        gallery.take(keep),
        protocol,
        lambda matched, pairs: places_by_distance(distances, matched, kept, pairs.query, pairs.column),
        max_rank,
        line,
    )


def _ranked(
    query: Labels, gallery: Labels, protocol: Protocol, places: _Places, max_rank: int, line: str
) -> RankingResult:
    pairs = matching_pairs(query, gallery, protocol)
    matched, pairs = pairs.of_matched_queries()
    return figures(
        pairs,
        places(matched, pairs),
        max_rank=max_rank,
        num_queries=len(query.ids),
        num_skipped=len(query.ids) - len(matched) if protocol.no_match == "skip" else 0,
        protocol=line,
    )


def _demand_rank(max_rank: int) -> None:
    if isinstance(max_rank, bool) or not isinstance(max_rank, int | np.integer) or max_rank < 1:
        raise ConfigError(f"max_rank must be an integer of at least 1, got {max_rank!r}")
