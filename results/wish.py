"""Limits that a user sets when picking, made absolute and comparable with records."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reid.errors import ConfigError
from results.record import Record

__all__ = ["Wish", "better_higher", "figure", "is_accuracy", "kind_of", "make_wishes"]

# Everything else that a record measures (milliseconds, bytes, operations, parameters) is a cost.
_ACCURACY_PREFIXES = ("mAP", "rank")
_BETTER_HIGHER = (*_ACCURACY_PREFIXES, "throughput")
_SPEED_PREFIXES = ("latency", "throughput")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One limit on one metric of the trials.

    Attributes:
        metric: key of `Record.metrics`.
        operator: "<=" or ">=".
        value: the absolute limit, in the metric's unit.
        text: as the user gave it, e.g. "mAP >= baseline - 0.01".
    """

    metric: str
    operator: Literal["<=", ">="]
    value: float
    text: str

    def excess(self, record: Record) -> float:
        """By how much a record breaks the limit; zero or negative when met, infinite when not measured."""
        measured = record.metrics.get(self.metric)
        if measured is None:
            return math.inf
        return measured - self.value if self.operator == "<=" else self.value - measured

    def relative_excess(self, record: Record) -> float:
        """The excess as a share of the limit, at least 0, so that misses of several metrics can be added."""
        return max(self.excess(record), 0.0) / (abs(self.value) or 1.0)

    def describe_excess(self, record: Record) -> str:
        """E.g. "latency_ms over by 0.4", or "size_bytes not measured"."""
        excess = self.excess(record)
        if math.isinf(excess):
            return f"{self.metric} not measured"
        return f"{self.metric} {'over' if self.operator == '<=' else 'short'} by {figure(excess)}"


def better_higher(metric: str) -> bool:
    """Whether a larger value of this metric is better: true of accuracies and throughput, false of every cost."""
    return metric.startswith(_BETTER_HIGHER)


def is_accuracy(metric: str) -> bool:
    """Whether this metric is a share of right answers, in [0, 1]: mAP and rank-k."""
    return metric.startswith(_ACCURACY_PREFIXES)


def kind_of(metric: str) -> str:
    """What a metric is about: "accuracy", "latency", or itself; a limit on one speaks for its whole kind.

    Throughput is latency the other way round.
    """
    if is_accuracy(metric):
        return "accuracy"
    return "latency" if metric.startswith(_SPEED_PREFIXES) else metric


def figure(value: float) -> str:
    """A measured value for a sentence: four significant digits, large counts in full."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def make_wishes(
    records: Iterable[Record],
    baseline: Record | None,
    *,
    maximum: Mapping[str, float],
    minimum: Mapping[str, float],
    max_drop: Mapping[str, float],
) -> tuple[Wish, ...]:
    """Check the user's limits against what was measured and make them absolute.

    Args:
        records: the trials to choose from; their metrics are the known ones.
        baseline: the dense baseline that `max_drop` refers to.
        maximum: metric -> largest value allowed.
        minimum: metric -> smallest value allowed.
        max_drop: accuracy -> largest loss against the baseline, >= 0.

    Raises:
        ConfigError: unknown metric, a limit that is no finite number, an accuracy given in percent, a
            negative drop, a drop of a cost, or no baseline to drop from.
    """
    known = sorted({name for record in records for name in record.metrics})
    wishes = [
        _wish(metric, operator, value, known, option)
        for option, operator, limits in (("--max", "<=", maximum), ("--min", ">=", minimum))
        for metric, value in limits.items()
    ]
    return (*wishes, *(_drop(metric, value, known, baseline) for metric, value in max_drop.items()))


def _wish(metric: str, operator: str, value: float, known: Sequence[str], option: str) -> Wish:
    _check(metric, value, known, option)
    sign: Literal["<=", ">="] = "<=" if operator == "<=" else ">="
    return Wish(metric=metric, operator=sign, value=value, text=f"{metric} {sign} {value:g}")


def _drop(metric: str, value: float, known: Sequence[str], baseline: Record | None) -> Wish:
    _check(metric, value, known, "--max-drop")
    if not is_accuracy(metric):
        raise ConfigError(f"--max-drop {metric}: a drop is of an accuracy; use --max {metric}=VALUE")
    if value < 0:
        raise ConfigError(f"--max-drop {metric}={value:g} must be at least 0")
    if baseline is None or metric not in baseline.metrics:
        raise ConfigError(f"--max-drop {metric}: the study has no baseline with {metric}; use --min instead")
    return Wish(
        metric=metric,
        operator=">=",
        # 0.71 - 0.01 must not exclude a trial with 0.7.
        value=round(baseline.metrics[metric] - value, 12),
        text=f"{metric} >= baseline - {value:g}",
    )


def _check(metric: str, value: float, known: Sequence[str], option: str) -> None:
    if metric not in known:
        near = difflib.get_close_matches(metric, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ";"
        raise ConfigError(f"{option} {metric}: unknown metric{hint} known: {', '.join(known)}")
    if not math.isfinite(value):
        raise ConfigError(f"{option} {metric}={value} must be a finite number")
    if is_accuracy(metric) and value > 1:
        raise ConfigError(f"{option} {metric}={value:g}: accuracies are fractions, write {value / 100:g}")
