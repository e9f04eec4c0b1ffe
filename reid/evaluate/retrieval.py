"""A query set and a gallery, embedded, with the distances between them that a protocol asks for."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from reid.evaluate.labelled import Labelled, ranked_in_gallery
from reid.evaluate.protocol import Protocol
from reid.evaluate.rank import rank_by_distances, rank_labelled
from reid.evaluate.rerank import rerank
from reid.evaluate.result import RankingResult
from reid.evaluate.sides import unit_sides
from reid.evaluate.spectral import spectral_distances

__all__ = ["Retrieval"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retrieval:
    """Everything that figures, pictures and plug-in metrics are made of.

    Attributes:
        query: features, identities and cameras of the queries.
        gallery: of all gallery images, those that the protocol leaves out included.
        protocol: the rules.
        distances: (Q, G) floats where the protocol re-ranks; None where the cosine decides.
    """

    query: Labelled
    gallery: Labelled
    protocol: Protocol
    distances: NDArray[Any] | None

    @classmethod
    def of(cls, query: Labelled, gallery: Labelled, protocol: Protocol) -> Self:
        """Compute the distances that `protocol` asks for.

        Raises:
            ConfigError: features of different widths.
            DataError: features that are not finite.
        """
        distances = None
        if (by := protocol.rerank) is not None:
            distances = rerank(query.features, gallery.features, by.k1, by.k2, by.lambda_value)
        elif (blur := protocol.spectral) is not None:
            distances = spectral_distances(query.features, gallery.features, blur.temperature, blur.top)
        return cls(query=query, gallery=gallery, protocol=protocol, distances=distances)

    def ranking(self, max_rank: int = 50) -> RankingResult:
        """The figures; they state the whole protocol.

        Args:
            max_rank: length of the CMC curve, >= 1.

        Raises:
            ConfigError: as in `rank`.
            DataError: as in `rank`.
        """
        if self.distances is None:
            return rank_labelled(self.query, self.gallery, self.protocol, max_rank=max_rank)
        return rank_by_distances(
            self.distances,
            self.query,
            self.gallery,
            self.protocol,
            max_rank=max_rank,
            line=str(self.protocol),
        )

    def first(self, query: int, count: int) -> NDArray[np.intp]:
        """Gallery images at the head of one query's ranking, as the figures count them.

        Args:
            query: row of the query.
            count: >= 1; fewer come back where the ranking is shorter.
        """
        if self.distances is None:
            unit, gallery = unit_sides(self.query.features[query : query + 1], self.gallery.features)
            distances: NDArray[Any] = -(gallery @ unit[0])
        else:
            distances = self.distances[query]
        keep = ranked_in_gallery(self.gallery, self.protocol)
        if self.protocol.same_camera == "remove":
            same = self.gallery.ids == self.query.ids[query]
            keep &= ~(same & (self.gallery.cameras == self.query.cameras[query]))
        order = np.argsort(distances, kind="stable")
        return order[keep[order]][:count]
