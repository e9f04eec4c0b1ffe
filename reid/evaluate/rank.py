"""CMC and mAP of a gallery ranked by cosine similarity."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.errors import ConfigError, DataError
from reid.evaluate.labelled import (
    Labelled,
    Pairs,
    normalised,
    pairs_of_one_identity,
    why_nothing_matches,
)
from reid.evaluate.scores import places_in_ranking

__all__ = ["RankingResult", "protocol_name", "rank"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankingResult:
    """Retrieval figures of one query set against one gallery; all are fractions in [0, 1].

    Attributes:
        mAP: mean over queries of the rectangular average precision, the field's usual.
        mAP_trapezoid: the same with the trapezoid average precision of the Oxford buildings benchmark.
        cmc: (max_rank,) float64, share of queries with a hit among the first k+1; read-only.
        num_queries: queries given.
        num_skipped: queries left out of every mean because the gallery holds no match for them.
        protocol: the rules in one line, see `protocol_name`.
    """

    mAP: float  # noqa: N815 - the field's spelling
    mAP_trapezoid: float  # noqa: N815
    cmc: NDArray[np.float64]
    num_queries: int
    num_skipped: int
    protocol: str

    @property
    def rank1(self) -> float:
        """Share of queries whose first image is right."""
        return self._rank(1)

    @property
    def rank5(self) -> float:
        """Share of queries with a hit among the first 5 (of fewer, if max_rank was less)."""
        return self._rank(5)

    @property
    def rank10(self) -> float:
        """Share of queries with a hit among the first 10 (of fewer, if max_rank was less)."""
        return self._rank(10)

    def _rank(self, k: int) -> float:
        return float(self.cmc[min(k, len(self.cmc)) - 1])


def protocol_name(no_match: Literal["skip", "count"] = "skip") -> str:
    """The rules by which `rank` ranks, in one line; figures compare only under equal rules.

    Raises:
        ConfigError: `no_match` is neither.
    """
    if no_match not in ("skip", "count"):
        raise ConfigError(f"no_match must be skip or count, got {no_match!r}")
    return f"single query, cosine, junk and same-camera images removed, queries without a match: {no_match}"


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
) -> RankingResult:
    """Rank the gallery for every query by cosine similarity and average what comes out.

    Left out of a query's ranking: gallery images of identity -1 (junk), and those of the query's own identity
    seen by its own camera. Identity 0 (distractors) is never a match, so a query of identity 0 or -1
    has none. Equal scores keep the order of the gallery, and equal gallery features always score equally.

    Args:
        query_features: (Q, D) finite floats, normalised here; a zero row has similarity 0 to everything.
        query_ids: (Q,) integers.
        query_cameras: (Q,) integers.
        gallery_features: (G, D), as for the queries. float64 on either side is ranked in float64.
        gallery_ids: (G,) integers.
        gallery_cameras: (G,) integers.
        max_rank: length of the CMC curve, >= 1; beyond the gallery's end it stays level.
        no_match: a query without a match is left out ("skip") or counts as a miss with zero average precision
            ("count", the denominators of the layumi baseline).

    Returns:
        The figures of all queries.

    Raises:
        ConfigError: shapes that do not fit each other, `max_rank` or `no_match` out of range.
        DataError: non-finite features, or no query has any match; the message names the cause.

    Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015, section 5.1 (protocol);
        Philbin et al., Object Retrieval with Large Vocabularies, CVPR 2007, section 3.2 (trapezoids).

    Example:
        >>> result = rank([[1.0, 0.0]], [7], [1], [[0.0, 1.0], [1.0, 0.1]], [3, 7], [2, 2])
        >>> result.mAP, result.rank1
        (1.0, 1.0)
    """
    protocol = protocol_name(no_match)
    if isinstance(max_rank, bool) or not isinstance(max_rank, int | np.integer) or max_rank < 1:
        raise ConfigError(f"max_rank must be an integer of at least 1, got {max_rank!r}")
    query, gallery = normalised(
        Labelled.check("query", query_features, query_ids, query_cameras),
        Labelled.check("gallery", gallery_features, gallery_ids, gallery_cameras),
    )
    pairs = pairs_of_one_identity(query, gallery)
    if pairs.same_camera.all():
        raise DataError(why_nothing_matches(query, gallery, pairs))
    matched, pairs = pairs.of_matched_queries()
    places = places_in_ranking(query.features[matched], gallery.features, pairs.query, pairs.column)
    hits = _hits(pairs, places)
    counted = len(matched) if no_match == "skip" else len(query.ids)
    return RankingResult(
        mAP=float(hits.average_precision(hits.rectangles()).sum() / counted),
        mAP_trapezoid=float(hits.average_precision(hits.trapezoids()).sum() / counted),
        cmc=_cmc(hits.rank[hits.number == 1], int(max_rank), counted),
        num_queries=len(query.ids),
        num_skipped=len(query.ids) - counted,
        protocol=protocol,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Hits:
    """Right images, by query and rank: the query (H,), which of its hits (H,) and the rank (H,), from 1."""

    query: NDArray[np.intp]
    number: NDArray[np.intp]
    rank: NDArray[np.intp]

    def rectangles(self) -> NDArray[np.float64]:
        """Precision at each hit."""
        return self.number / self.rank

    def trapezoids(self) -> NDArray[np.float64]:
        """Mean of the precision at each hit and that just before it (1 before the first rank)."""
        before = np.divide(self.number - 1, self.rank - 1, out=np.ones(len(self.rank)), where=self.rank > 1)
        return (self.rectangles() + before) / 2

    def average_precision(self, precision: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over the hits of each query."""
        return np.bincount(self.query, weights=precision) / np.bincount(self.query)


def _hits(pairs: Pairs, places: NDArray[np.intp]) -> _Hits:
    order = np.argsort(pairs.query * (places.max() + 1) + places)
    query, wrong = pairs.query[order], pairs.same_camera[order]
    start = np.searchsorted(query, query)
    removed_so_far = np.cumsum(wrong)
    removed_ahead: NDArray[np.intp] = removed_so_far - (removed_so_far - wrong)[start]
    hit = ~wrong
    rank_of_all = places[order] + 1 - removed_ahead
    number_of_all = np.arange(1, len(query) + 1) - start - removed_ahead
    return _Hits(query=query[hit], number=number_of_all[hit], rank=rank_of_all[hit])


def _cmc(first_rank: NDArray[np.intp], max_rank: int, counted: int) -> NDArray[np.float64]:
    first_at = np.bincount(first_rank[first_rank <= max_rank], minlength=max_rank + 1)[1:]
    curve = np.cumsum(first_at) / counted
    curve.setflags(write=False)
    return curve
