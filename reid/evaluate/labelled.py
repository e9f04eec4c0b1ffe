"""Features with the identity and camera that they show, checked, and the pairs of one identity."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.data import DISTRACTOR, JUNK, Sample
from reid.errors import ConfigError, DataError
from reid.evaluate.protocol import Protocol
from reid.evaluate.scores import common_float, unit_rows
from reid.evaluate.sides import demand_one_width, feature_table

__all__ = [
    "Labelled",
    "Labels",
    "Pairs",
    "ids_and_cameras",
    "matching_pairs",
    "normalised",
    "pairs_of_one_identity",
    "ranked_in_gallery",
]


def ids_and_cameras(samples: Sequence[Sample]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whom the samples show and which cameras took them, (N,) each."""
    ids = np.array([sample.person_id for sample in samples], dtype=np.int64)
    return ids, np.array([sample.camera_id for sample in samples], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """Whom the images of one side of a retrieval show, and which cameras took them.

    Attributes:
        ids: (N,) integers.
        cameras: (N,) integers.
    """

    ids: NDArray[np.integer[Any]]
    cameras: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, name: str, count: int, ids: ArrayLike, cameras: ArrayLike) -> "Labels":
        """Take what a caller gives for the `count` images of the side `name` ("query" or "gallery").

        Raises:
            ConfigError: an array of the wrong shape or kind; names it.
            DataError: there is no image.
        """
        if not count:
            raise DataError(f"the {name} set is empty: nothing can be ranked")
        labels = {"ids": np.asarray(ids), "cameras": np.asarray(cameras)}
        for kind, label in labels.items():
            if label.shape != (count,) or label.dtype.kind not in "iu":
                raise ConfigError(
                    f"{name}_{kind} must be {count} integers, one per {name} image, "
                    f"got {label.dtype} of shape {label.shape}"
                )
        return Labels(**labels)

    def take(self, keep: NDArray[np.bool_]) -> "Labels":
        """The labels of the images that (N,) `keep` marks."""
        return Labels(ids=self.ids[keep], cameras=self.cameras[keep])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled(Labels):
    """One side of a retrieval: images as features, identities and cameras.

    Attributes:
        features: (N, D) real numbers, N >= 1 and D >= 1.
    """

    features: NDArray[Any]

    @classmethod
    def check(cls, name: str, features: ArrayLike, ids: ArrayLike, cameras: ArrayLike) -> Self:
        """Take what a caller gives for the side `name` ("query" or "gallery").

        Raises:
            ConfigError: an array of the wrong shape or kind; names it.
            DataError: there is no image.
        """
        table = feature_table(name, features)
        labels = Labels.of(name, len(table), ids, cameras)
        return cls(features=table, ids=labels.ids, cameras=labels.cameras)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Query and gallery images of one identity, sorted by query.

    Attributes:
        query: (P,) row of the query.
        column: (P,) row in the gallery.
        same_camera: (P,) whether the image is left out of the query's ranking because one camera saw both.
    """

    query: NDArray[np.intp]
    column: NDArray[np.intp]
    same_camera: NDArray[np.bool_]

    def of_matched_queries(self) -> tuple[NDArray[np.intp], Self]:
        """The queries with at least one match in another camera, and their pairs with queries renumbered."""
        matched = np.unique(self.query[~self.same_camera])
        keep = np.isin(self.query, matched)
        renumbered = np.searchsorted(matched, self.query[keep])
        return matched, type(self)(
            query=renumbered, column=self.column[keep], same_camera=self.same_camera[keep]
        )


def normalised(query: Labelled, gallery: Labelled, protocol: Protocol) -> tuple[Labelled, Labelled]:
    """Both sides with features of length 1 in one type, and the gallery only as far as it is ranked.

    The type is float64 if the features of either side need it, else float32.

    Raises:
        ConfigError: the features of the sides differ in width.
        DataError: as in `unit_rows`.
    """
    demand_one_width(query.features, gallery.features)
    dtype = common_float(query.features, gallery.features)
    keep = ranked_in_gallery(gallery, protocol)
    return replace(query, features=unit_rows(query.features, dtype, "query_features")), Labelled(
        features=unit_rows(gallery.features, dtype, "gallery_features", keep),
        ids=gallery.ids[keep],
        cameras=gallery.cameras[keep],
    )


def ranked_in_gallery(gallery: Labels, protocol: Protocol) -> NDArray[np.bool_]:
    """(G,) which images of the gallery are ranked for a query at all."""
    removed = {JUNK: protocol.junk == "remove", DISTRACTOR: protocol.distractors == "remove"}
    return ~np.isin(gallery.ids, [identity for identity, is_removed in removed.items() if is_removed])


def pairs_of_one_identity(query: Labels, gallery: Labels, protocol: Protocol) -> Pairs:
    """Every pair of a query and a gallery image of one identity; junk and distractors are nobody."""
    by_id = np.argsort(gallery.ids, kind="stable")
    start = np.searchsorted(gallery.ids, query.ids, side="left", sorter=by_id)
    count = np.searchsorted(gallery.ids, query.ids, side="right", sorter=by_id) - start
    count[np.isin(query.ids, (JUNK, DISTRACTOR))] = 0
    row = np.repeat(np.arange(len(count)), count)
    nth_of_row = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    column = by_id[np.repeat(start, count) + nth_of_row]
    same_camera = query.cameras[row] == gallery.cameras[column]
    same_camera &= protocol.same_camera == "remove"
    return Pairs(query=row, column=column, same_camera=same_camera)


def matching_pairs(query: Labels, gallery: Labels, protocol: Protocol) -> Pairs:
    """As `pairs_of_one_identity`, of which one at least is a match.

    Args:
        query: queries.
        gallery: what is ranked of the gallery.
        protocol: the rules.

    Raises:
        DataError: no query has any match; says why.
    """
    pairs = pairs_of_one_identity(query, gallery, protocol)
    if pairs.same_camera.all():
        raise DataError(_why_nothing_matches(query, gallery, pairs))
    return pairs


def _why_nothing_matches(query: Labels, gallery: Labels, pairs: Pairs) -> str:
    """The cause, in words for a person, of there being no match for any query."""
    if not len(gallery.ids):
        return "the gallery holds nothing but junk (identity -1) or removed distractors"
    if not len(pairs.query):
        return "no identity of the query set appears in the gallery; check that both belong to one split"
    cameras = np.union1d(query.cameras, gallery.cameras)
    if len(cameras) == 1:
        return (
            f"every image comes from camera {cameras[0]}, and only an image from another camera can match; "
            "check how cameras are read from the file names, or keep the same camera"
        )
    return (
        "the gallery shows the identities of the queries only in the queries' own cameras, and only an image "
        "from another camera can match, unless the same camera is kept"
    )
