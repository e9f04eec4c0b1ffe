"""What the report shows, as plain values: points by kind, limits as numbers, shared settings once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from reid.errors import ConfigError, NothingFeasible
from results.pick import Choice, pick
from results.record import Record, one_line
from results.study import Study, front_of

__all__ = ["Axes", "Snapshot", "axes_of", "kinds_of", "limit_lines", "report_data", "suggestion"]

_NUMBER = r"-?\d*\.?\d+(?:[eE][+-]?\d+)?"
_LIMIT = re.compile(
    rf"(?P<metric>\w+) *[<>]= *(?:(?P<constant>{_NUMBER})|(?:(?P<factor>{_NUMBER}) *\* *)?baseline"
    rf"(?: *(?P<sign>[+-]) *(?P<offset>{_NUMBER}))?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """Which two objectives the picture shows: a cost to the right, an accuracy upwards.

    Attributes:
        x: metric, the first minimised objective.
        y: metric, the first other objective.
    """

    x: str
    y: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A study at one moment: its files are read once, however often they are asked for.

    Attributes:
        definition: content of `study.json`.
        objectives: metric -> "maximize" or "minimize".
        baseline: the dense network's record, or None.
        trials: the committed records by number.
    """

    definition: Mapping[str, Any]
    objectives: Mapping[str, str]
    baseline: Record | None
    trials: tuple[Record, ...]

    @classmethod
    def of(cls, study: Study) -> Self:
        """Read a study.

        Raises:
            StudyDamaged: a record cannot be read.
        """
        return cls(
            definition=study.definition,
            objectives=study.objectives,
            baseline=study.baseline,
            trials=tuple(study.records()),
        )

    def records(self) -> tuple[Record, ...]:
        """The committed records by number."""
        return self.trials


def axes_of(objectives: Mapping[str, str]) -> Axes:
    """Choose the axes of the picture.

    Raises:
        ConfigError: fewer than two objectives.
    """
    names = list(objectives)
    if len(names) < 2:
        raise ConfigError(f"a front needs two objectives, the study has {', '.join(names) or 'none'}")
    x = next((name for name in names if objectives[name] == "minimize"), names[-1])
    return Axes(x=x, y=next(name for name in names if name != x))


def kinds_of(records: Sequence[Record], objectives: Mapping[str, str]) -> dict[int, str]:
    """Number of each trial -> "front", "dominated", "untrusted", "infeasible" or "failed"."""
    front = {record.number for record in front_of(records, objectives)}
    return {record.number: _kind(record, record.number in front) for record in records}


def limit_lines(limits: Sequence[str], baseline: Record | None) -> dict[str, float | None]:
    """Text of each limit -> its value in the metric's unit; None where the baseline it needs is not there."""
    return {limit: _limit_value(limit, baseline.metrics if baseline else {}) for limit in limits}


def suggestion(study: Snapshot) -> Choice | None:
    """What `pick` chooses when nothing is wished for, or None while nothing can be picked."""
    try:
        return pick(study)
    except NothingFeasible:
        return None


def report_data(study: Snapshot) -> dict[str, Any]:
    """Everything the page's script needs; texts are single lines without control or direction marks."""
    records, objectives, baseline = study.trials, study.objectives, study.baseline
    axes = axes_of(objectives)
    kinds = kinds_of(records, objectives)
    choice = suggestion(study)
    shared = _shared([record.config for record in records])
    data = {
        "x": axes.x,
        "y": axes.y,
        "objectives": dict(objectives),
        "limits": [
            {"text": text, "metric": text.split()[0], "value": value}
            for text, value in limit_lines(study.definition["limits"], baseline).items()
        ],
        "baseline": _rounded(baseline.metrics) if baseline else None,
        "suggested": choice.record.number if choice else None,
        "shared": shared,
        "trials": [_trial(record, kinds[record.number], shared) for record in records],
    }
    cleaned: dict[str, Any] = _clean(data)
    return cleaned


def _kind(record: Record, on_front: bool) -> str:
    if record.status != "complete":
        return record.status
    if not record.feasible:
        return "infeasible"
    if not record.latency_trusted:
        return "untrusted"
    return "front" if on_front else "dominated"


def _limit_value(limit: str, baseline: Mapping[str, float]) -> float | None:
    match = _LIMIT.fullmatch(limit.strip())
    if match is None:
        return None
    if match["constant"]:
        return float(match["constant"])
    if match["metric"] not in baseline:
        return None
    offset = float(f"{match['sign'] or ''}{match['offset'] or 0}")
    return float(match["factor"] or 1) * baseline[match["metric"]] + offset


def _shared(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings that all trials have in common, so that the page holds them once."""
    if not configs:
        return {}
    first, *others = configs
    return {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in others)
    }


def _trial(record: Record, kind: str, shared: Mapping[str, Any]) -> dict[str, Any]:
    searched = record.params.items()
    own = {k: v for k, v in record.config.items() if k not in shared and (k, v) not in searched}
    entry = {
        "n": record.number,
        "kind": kind,
        "metrics": _rounded(record.metrics),
        "params": record.params,
        "config": own,
        "stages": [[s["name"], round(s["seconds"], 1), s["cached"]] for s in record.stages],
        "violations": _rounded(record.violations),
        "error": f"{record.error['kind']}: {record.error['message']}" if record.error else None,
        "attempt": record.attempt if record.attempt > 1 else None,
    }
    return {name: value for name, value in entry.items() if value not in (None, {}, [])}


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in metrics.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _line(value)
    if isinstance(value, Mapping):
        return {_line(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list | tuple) else value


# The same few names recur in every trial.
@lru_cache(maxsize=4096)
def _line(text: str) -> str:
    return one_line(text, 500)
