"""Features of queries and gallery without labels, checked and normalised."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.errors import ConfigError, DataError
from reid.evaluate.scores import common_float, unit_rows

__all__ = ["demand_one_width", "feature_table", "unit_sides"]


def unit_sides(query_features: ArrayLike, gallery_features: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features of both sides, of length 1 and in one type (float64 if either needs it, else float32).

    Args:
        query_features: (Q, D) finite real numbers; a zero row stays zero.
        gallery_features: (G, D), as for the queries.

    Raises:
        ConfigError: arrays of the wrong shape or kind, or of different widths.
        DataError: a side is empty, or features are not finite.
    """
    sides = {}
    for name, features in (("query", query_features), ("gallery", gallery_features)):
        sides[name] = feature_table(name, features)
        if not len(sides[name]):
            raise DataError(f"the {name} set is empty: nothing can be ranked")
    query, gallery = sides.values()
    demand_one_width(query, gallery)
    dtype = common_float(query, gallery)
    return unit_rows(query, dtype, "query_features"), unit_rows(gallery, dtype, "gallery_features")


def feature_table(name: str, features: ArrayLike) -> NDArray[Any]:
    """The features of the side `name` ("query" or "gallery") as an array.

    Raises:
        ConfigError: they are no (N, D) real numbers with D >= 1.
    """
    table = np.asarray(features)
    if table.ndim != 2 or table.dtype.kind not in "fiu" or (len(table) and not table.shape[1]):
        raise ConfigError(
            f"{name}_features must be a real (N, D) array, got {table.dtype} of shape {table.shape}"
        )
    return table


def demand_one_width(query: NDArray[Any], gallery: NDArray[Any]) -> None:
    """Refuse features (Q, D) and (G, D) of different widths.

    Raises:
        ConfigError: names both widths.
    """
    if query.shape[1] != gallery.shape[1]:
        raise ConfigError(
            f"query_features have {query.shape[1]} columns but gallery_features {gallery.shape[1]}; "
            "embed both with the same artifact"
        )
