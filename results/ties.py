"""Whether two trials can be told apart: paired bootstrap intervals of a difference and of a ratio.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, sections 13.3 (percentile interval) and 10.4
(paired observations); Smucker, Allan and Carterette, A Comparison of Statistical Significance Tests for Information
Retrieval Evaluation, CIKM 2007 (queries as the unit that is resampled).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.errors import ConfigError

__all__ = ["CONFIDENCE", "SAME_LATENCY", "Interval", "paired_difference", "paired_ratio"]

CONFIDENCE = 0.95
"""Level of every interval."""

SAME_LATENCY = 0.02
"""Ratios of latencies closer to 1 than this change sides from one timing to the next, however many the samples."""

_RESAMPLES = 2000
_CHUNK = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        value: the estimate.
        low: lower end, <= value but for the chance of resampling.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def includes(self, value: float, *, within: float = 0.0) -> bool:
        """Whether the interval holds `value`, or comes as near to it as `within`."""
        return self.low - within <= value <= self.high + within

    def to_dict(self) -> dict[str, float]:
        """Plain JSON values."""
        return {"value": self.value, "low": self.low, "high": self.high}


def paired_difference(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Interval:
    """Mean of `second - first` over the same queries, with the interval of resampled queries.

    Args:
        first: (Q,) finite, e.g. the average precision of each query, Q >= 1.
        second: (Q,), of the same queries in the same order.
        seed: of the resampling.

    Raises:
        ConfigError: the shapes differ, nothing is given, or a value is not finite.
    """
    a, b = _paired(first, second)
    return _interval(b - a, lambda rows: rows.mean(axis=-1), seed)


def paired_ratio(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> Interval:
    """Median of `second / first` over rounds that were timed together, with the interval of resampled rounds.

    A disturbance that lasts longer than a round falls on both and leaves the ratio as it was. Rounds are taken as
    independent; neighbours that are alike make the interval a little too narrow.

    Args:
        first: (R,) milliseconds above 0, one of each round, R >= 1.
        second: (R,), of the same rounds.
        seed: of the resampling.

    Raises:
        ConfigError: the shapes differ, nothing is given, or a value is not above 0.
    """
    a, b = _paired(first, second)
    if a.min() <= 0 or b.min() <= 0:
        raise ConfigError("latencies must be above 0 to have a ratio")
    logarithms = _interval(np.log(b / a), lambda rows: np.median(rows, axis=-1), seed)
    return Interval(
        value=float(np.exp(logarithms.value)),
        low=float(np.exp(logarithms.low)),
        high=float(np.exp(logarithms.high)),
    )


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ConfigError(f"paired values must be two equally long rows, got shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ConfigError("paired values must be finite")
    return a, b


def _interval(
    values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], NDArray[Any]], seed: int
) -> Interval:
    rng = np.random.default_rng(seed)
    found = np.concatenate(
        [
            statistic(values[rng.integers(0, len(values), (_CHUNK, len(values)))])
            for _ in range(_RESAMPLES // _CHUNK)
        ]
    )
    low, high = np.quantile(found, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Interval(value=float(statistic(values)), low=float(low), high=float(high))
