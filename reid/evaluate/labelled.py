"""Features with the identity and camera that they show, checked, and the pairs of one identity."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.data import DISTRACTOR, JUNK
from reid.errors import ConfigError, DataError
from reid.evaluate.scores import unit_rows

__all__ = ["Labelled", "Pairs", "normalised", "pairs_of_one_identity", "why_nothing_matches"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """One side of a retrieval: images as features, identities and cameras.

    Attributes:
        features: (N, D) real numbers, N >= 1 and D >= 1.
        ids: (N,) integers.
        cameras: (N,) integers.
    """

    features: NDArray[Any]
    ids: NDArray[np.integer[Any]]
    cameras: NDArray[np.integer[Any]]

    @classmethod
    def check(cls, name: str, features: ArrayLike, ids: ArrayLike, cameras: ArrayLike) -> Self:
        """Take what a caller gives for the side `name` ("query" or "gallery").

        Raises:
            ConfigError: an array of the wrong shape or kind; names it.
            DataError: there is no image.
        """
        table = np.asarray(features)
        if table.ndim != 2 or table.dtype.kind not in "fiu" or (len(table) and not table.shape[1]):
            raise ConfigError(
                f"{name}_features must be a real (N, D) array, got {table.dtype} of shape {table.shape}"
            )
        if not len(table):
            raise DataError(f"the {name} set is empty: nothing can be ranked")
        labels = {"ids": np.asarray(ids), "cameras": np.asarray(cameras)}
        for kind, label in labels.items():
            if label.shape != (len(table),) or label.dtype.kind not in "iu":
                raise ConfigError(
                    f"{name}_{kind} must be {len(table)} integers, one per row of {name}_features, "
                    f"got {label.dtype} of shape {label.shape}"
                )
        return cls(features=table, **labels)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Query and gallery images of one identity, sorted by query.

    Attributes:
        query: (P,) row of the query.
        column: (P,) row in the gallery.
        same_camera: (P,) whether one camera saw both; such an image is left out of the ranking.
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


def normalised(query: Labelled, gallery: Labelled) -> tuple[Labelled, Labelled]:
    """Both sides with features of length 1 in one type (float64 if either needs it, else float32), and no junk.

    Raises:
        ConfigError: the features of the sides differ in width.
        DataError: as in `unit_rows`.
    """
    if query.features.shape[1] != gallery.features.shape[1]:
        raise ConfigError(
            f"query_features have {query.features.shape[1]} columns but gallery_features "
            f"{gallery.features.shape[1]}; embed both with the same artifact"
        )
    wide = np.result_type(query.features, gallery.features, np.float32).itemsize > 4
    dtype = np.dtype(np.float64 if wide else np.float32)
    keep = gallery.ids != JUNK
    return replace(query, features=unit_rows(query.features, dtype, "query_features")), Labelled(
        features=unit_rows(gallery.features, dtype, "gallery_features", keep),
        ids=gallery.ids[keep],
        cameras=gallery.cameras[keep],
    )


def pairs_of_one_identity(query: Labelled, gallery: Labelled) -> Pairs:
    """Every pair of a query and a gallery image of one identity; junk and distractors are nobody."""
    by_id = np.argsort(gallery.ids, kind="stable")
    start = np.searchsorted(gallery.ids, query.ids, side="left", sorter=by_id)
    count = np.searchsorted(gallery.ids, query.ids, side="right", sorter=by_id) - start
    count[np.isin(query.ids, (JUNK, DISTRACTOR))] = 0
    row = np.repeat(np.arange(len(count)), count)
    nth_of_row = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    column = by_id[np.repeat(start, count) + nth_of_row]
    return Pairs(query=row, column=column, same_camera=query.cameras[row] == gallery.cameras[column])


def why_nothing_matches(query: Labelled, gallery: Labelled, pairs: Pairs) -> str:
    """The cause, in words for a person, of there being no match for any query."""
    if not len(gallery.ids):
        return "the gallery holds nothing but junk (identity -1)"
    cameras = np.union1d(query.cameras, gallery.cameras)
    if len(cameras) == 1:
        return (
            f"every image comes from camera {cameras[0]}, and only an image from another camera can match; "
            "check how cameras are read from the file names"
        )
    if not len(pairs.query):
        return "no identity of the query set appears in the gallery; check that both belong to one split"
    return (
        "the gallery shows the identities of the queries only in the queries' own cameras, and only an image "
        "from another camera can match"
    )
