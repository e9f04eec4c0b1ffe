"""Metrics of one's own, named by a dotted path.

A metric is a function of the six arrays of `rank`, in this order and by position: query features (Q, D) float,
query identities (Q,), query cameras (Q,), gallery features (G, D), gallery identities (G,), gallery cameras (G,).
Features are as embedded, not L2-normalised, with flip, scales and multi-query applied; junk and distractors are
there. It gives one finite number, or a mapping of names to finite numbers.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from reid.errors import ConfigError
from reid.evaluate.retrieval import Retrieval
from reid.plugins import load_function

__all__ = ["Metric", "apply_metric", "load_metric"]

Metric = Callable[..., Any]
"""A function as described above."""

_ARGUMENTS = (
    "query_features", "query_ids", "query_cameras", "gallery_features", "gallery_ids", "gallery_cameras",
)  # fmt: skip


def load_metric(path: str) -> Metric:
    """Import a metric; the module's code runs.

    Args:
        path: "package.module:function".

    Raises:
        ConfigError: as in `load_function`, or the function does not take six positional arguments.
    """
    metric = load_function(path, "metric")
    try:
        inspect.signature(metric).bind(*_ARGUMENTS)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"metric {path} must take six positional arguments ({', '.join(_ARGUMENTS)}): {error}"
        ) from error
    return metric


def apply_metric(metric: Metric, path: str, found: Retrieval) -> dict[str, float]:
    """Values of a metric; one number goes by the function's name.

    Args:
        metric: from `load_metric`.
        path: that it was loaded from.
        found: what was embedded.

    Raises:
        ConfigError: the metric gives anything but finite numbers, or fails.
    """
    query, gallery = found.query, found.gallery
    try:
        # Copies: what a metric does to its arrays must reach neither the next metric nor a picture.
        given = metric(
            *(side.copy() for side in (query.features, query.ids, query.cameras)),
            *(side.copy() for side in (gallery.features, gallery.ids, gallery.cameras)),
        )
    except (Exception, SystemExit) as error:  # whatever a stranger's function raises
        raise ConfigError(f"metric {path} failed: {type(error).__name__}: {error}") from error
    named = given if isinstance(given, Mapping) else {path.partition(":")[2]: given}
    return {str(name): _finite(path, name, value) for name, value in named.items()}


def _finite(path: str, name: object, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (OverflowError, TypeError, ValueError) as error:
        raise ConfigError(f"metric {path} gave {type(value).__name__} for {name}, not a number") from error
    if not math.isfinite(number):
        raise ConfigError(f"metric {path} gave {number} for {name}; a metric must be finite")
    return number
