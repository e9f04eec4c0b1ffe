"""The figures of a retrieval, from the places that the right images took."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.evaluate.labelled import Pairs

__all__ = ["RankingResult", "figures"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankingResult:
    """Retrieval figures of one query set against one gallery; all are fractions in [0, 1].

    Attributes:
        mAP: mean over queries of the rectangular average precision, the field's usual.
        mAP_trapezoid: the same with the trapezoid average precision of the Oxford buildings benchmark.
        average_precision: (matched queries,) float64, rectangular, in the order of the queries; read-only.
        cmc: (max_rank,) float64, share of queries with a hit among the first k+1; read-only.
        num_queries: queries given.
        num_skipped: queries left out of every mean because the gallery holds no match for them.
        protocol: the rules in one line, see `Protocol`.
    """

    mAP: float  # noqa: N815 - the field's spelling
    mAP_trapezoid: float  # noqa: N815
    average_precision: NDArray[np.float64]
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


def figures(
    pairs: Pairs,
    places: NDArray[np.intp],
    *,
    max_rank: int,
    num_queries: int,
    num_skipped: int,
    protocol: str,
) -> RankingResult:
    """Average what the matched queries reached.

    Args:
        pairs: of the queries with at least one match, numbered from 0 without a gap.
        places: (P,) how many images of the gallery stand ahead of each, those of the same camera included.
        max_rank: length of the CMC curve, >= 1.
        num_queries: queries given.
        num_skipped: of these, left out of every mean; one that is neither matched nor left out is a miss.
        protocol: goes into the result.
    """
    hits, counted = _hits(pairs, places), num_queries - num_skipped
    precision = hits.average_precision(hits.rectangles())
    precision.setflags(write=False)
    return RankingResult(
        mAP=float(precision.sum() / counted),
        mAP_trapezoid=float(hits.average_precision(hits.trapezoids()).sum() / counted),
        average_precision=precision,
        cmc=_cmc(hits.rank[hits.number == 1], max_rank, counted),
        num_queries=num_queries,
        num_skipped=num_skipped,
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
