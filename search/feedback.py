"""What the sampler is told about a committed trial."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from reid.config import Limit, broken
from results.record import Record

__all__ = ["OTHER_CONSTRAINT", "Told", "tell_of"]

OTHER_CONSTRAINT = "other"
"""Constraint that stands for everything but the study's limits, e.g. failed parity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One finished trial in the sampler's terms.

    Attributes:
        number: of the trial.
        params: searched parameters.
        values: measured objectives by name; a trial that ended early lacks some.
        constraints: by name, <= 0 where met; the same names for every trial of a study.
        failed: nothing can be learnt from the trial.
    """

    number: int
    params: dict[str, Any]
    values: dict[str, float] = field(default_factory=dict)
    constraints: dict[str, float] = field(default_factory=dict)
    failed: bool = False


def tell_of(record: Record, objectives: Sequence[str], limits: Sequence[Limit]) -> Told:
    """Translate a record.

    Each limit becomes one constraint: the excess as a share of the limit's own size, so that a millisecond
    and a point of mAP weigh alike; 0 (neither kept nor broken) where the figure was not measured, or may not be
    believed so far.

    A trial that was stopped early is told with its latest mAP and its early latency: it was among the worst of its
    rung, and that is what is to be learnt (docs/decisions/0024-early-stopping.md).

    Args:
        record: of any status.
        objectives: metrics of the study's objectives, in their order.
        limits: the study's, absolute.
    """
    if record.status == "failed":
        return Told(number=record.number, params=dict(record.params), failed=True)
    return Told(
        number=record.number,
        params=dict(record.params),
        values={name: record.metrics[name] for name in objectives if name in record.metrics},
        constraints={
            **{str(limit): _share(limit, record) for limit in limits},
            OTHER_CONSTRAINT: _other(record, {str(limit) for limit in limits}),
        },
    )


def _share(limit: Limit, record: Record) -> float:
    if limit.metric not in record.metrics:
        return 0.0
    excess = limit.excess(record.metrics[limit.metric])
    if excess > 0 and not broken([limit], record.metrics, trusted=record.latency_trusted):
        return 0.0
    return excess / (abs(limit.value) or 1.0)


def _other(record: Record, known: set[str]) -> float:
    if record.status != "infeasible":
        return 0.0
    excess = [value for text, value in record.violations.items() if text not in known and value > 0]
    if excess:
        return math.fsum(excess)
    # Infeasible without any number to say by how much: an artifact check that failed.
    return 0.0 if any(value > 0 for value in record.violations.values()) else 1.0
