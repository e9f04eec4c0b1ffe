"""What the report shows, as plain values: points by kind, limits as numbers, shared settings once."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import NoneType
from typing import Any, Self

from reid.errors import ConfigError, NothingFeasible
from results.page_detail import detail
from results.page_importance import importance
from results.page_story import ledger, volume_over_time
from results.pick import Choice, pick
from results.record import Record, one_line
from results.study import Study, front_of
from results.wish import figure

__all__ = ["Axes", "Snapshot", "axes_of", "kinds_of", "limit_lines", "metric_of", "report_data", "suggestion"]

_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LIMIT = re.compile(
    rf"(?P<metric>\w+)\s*[<>]=\s*(?:(?P<constant>{_NUMBER})|(?:(?P<factor>{_NUMBER})\s*\*\s*)?baseline"
    rf"(?:\s*(?P<sign>[+-])\s*(?P<offset>{_NUMBER}))?)"
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
        path: of the study, as it was given.
        definition: content of `study.json`.
        objectives: metric -> "maximize" or "minimize".
        baseline: the dense network's record, or None.
        reference: metric -> the worst value that counts for the hypervolume, or None while there is none.
        trials: the committed records by number.
        tests: figures on the test split by number of the trial, where they were taken.
        again: figures that a pick measured anew, likewise.
        gone: numbers of trials whose files were removed to make room.
    """

    path: str
    definition: Mapping[str, Any]
    objectives: Mapping[str, str]
    baseline: Record | None
    reference: Mapping[str, float] | None
    trials: tuple[Record, ...]
    tests: Mapping[int, Mapping[str, Any]]
    again: Mapping[int, Mapping[str, Any]]
    gone: frozenset[int]

    @classmethod
    def of(cls, study: Study) -> Self:
        """Read a study.

        Raises:
            StudyDamaged: a record cannot be read.
        """
        trials = tuple(study.records())
        taken = {record.number: study.test_record(record.number) for record in trials}
        again = {record.number: study.fact(record.number, "retiming") for record in trials}
        return cls(
            path=study.place,
            definition=study.definition,
            objectives=study.objectives,
            baseline=study.baseline,
            reference=study.reference_point,
            trials=trials,
            tests={number: test for number, test in taken.items() if test is not None},
            again={number: fact for number, fact in again.items() if fact is not None},
            gone=study.discarded(),
        )

    def records(self) -> tuple[Record, ...]:
        """The committed trials, by number."""
        return self.trials

    def discarded(self) -> frozenset[int]:
        """Numbers of trials that are shown and cannot be picked: their files were removed to make room."""
        return self.gone


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
    """Number of each trial -> "front", "dominated", "untrusted", "infeasible", "stopped" or "failed"."""
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
    """Everything the page's script needs, as JSON values; the page takes the same in `reidPareto.update(data)`.

    Texts are single lines without control or direction marks. Figures of `metrics` are exact, so that the
    page chooses as `pick` does.

    Returns:
        facts: [term, text] of the page's head.
        command: start of the command that picks; out: folder it proposes.
        x, y: metrics of the axes at first; objectives: metric -> direction.
        limits: {text, metric, value} of each limit of the study.
        baseline: its metrics, or None; suggested: number of the trial that `pick` chooses without a wish.
        metrics, params, stages: names, in the order in which a trial's figures stand.
        shared: settings that all trials have in common.
        trials: {n, kind, metrics: [figure or None], params: [value or None], stages: [[index of the name, seconds,
            0 computed, 1 cached or 2 not finished, number of the content key or -1]], violations, error: [kind,
            message], attempt, repeats: {metric: values, the record's first}, gone: true where its files were
            removed}; what is empty is left out.
        hypervolume: [trials, hours, volume] by time, or None; importance: {metric: {trials, shares: [[name,
            share, chance]]}}; ledger: as `results.page_story.ledger`.
        details: number of the trial as text -> what a click shows (`results.page_detail.detail`).

    Raises:
        ConfigError: fewer than two objectives.
    """
    records, baseline = study.trials, study.baseline
    axes, kinds, choice = axes_of(study.objectives), kinds_of(records, study.objectives), suggestion(study)
    shared = _shared([record.config for record in records])
    columns = _Columns.of(records)
    data = {
        "facts": _facts(study, choice),
        "out": _slug(str(study.definition["name"])),
        "x": axes.x,
        "y": axes.y,
        "objectives": dict(study.objectives),
        "limits": [
            {"text": text, "metric": metric_of(text), "value": value}
            for text, value in limit_lines(study.definition["limits"], baseline).items()
        ],
        "baseline": dict(baseline.metrics) if baseline else None,
        "suggested": choice.record.number if choice else None,
        "metrics": columns.metrics,
        "params": columns.params,
        "stages": columns.stages,
        "shared": shared,
        "trials": [
            columns.row(record, kinds[record.number], study.again.get(record.number, {}))
            | ({"gone": True} if record.number in study.gone else {})
            for record in records
        ],
        "hypervolume": _volume(study),
        "importance": _importance(study),
        "ledger": ledger([*records, *([baseline] if baseline else [])]),
        "details": {
            str(record.number): detail(record, shared, study.tests.get(record.number)) for record in records
        },
    }
    cleaned: dict[str, Any] = _clean(data)
    # As it is: a cleaned path is another one, and this cannot hold what cleaning takes away.
    return {**cleaned, "command": f"reid-pareto pick {_quoted(study.path)}"}


def _quoted(path: str) -> str:
    """A path for the shell, in ASCII where it has blanks in a row or characters that do not show."""
    if one_line(path, len(path) + 1) == path:
        return shlex.quote(path)
    shown = (
        chr(byte) if (byte < 128 and chr(byte).isalnum()) or chr(byte) in "/._-" else f"\\x{byte:02x}"
        for byte in os.fsencode(path)
    )
    return f"$'{''.join(shown)}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Names that all trials share, so that a trial's row is figures alone."""

    metrics: list[str]
    params: list[str]
    stages: list[str]
    keys: Mapping[str, int]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        keys = dict.fromkeys(stage["key"] for record in records for stage in record.stages if stage["key"])
        return cls(
            metrics=list(dict.fromkeys(name for record in records for name in record.metrics)),
            params=list(dict.fromkeys(name for record in records for name in record.params)),
            stages=list(dict.fromkeys(stage["name"] for record in records for stage in record.stages)),
            keys={key: number for number, key in enumerate(keys)},
        )

    def row(self, record: Record, kind: str, again: Mapping[str, Any]) -> dict[str, Any]:
        entry = {
            "n": record.number,
            "kind": kind,
            "metrics": [_exact(record.metrics.get(name)) for name in self.metrics if record.metrics],
            "params": [record.params.get(name) for name in self.params],
            "stages": [self._stage(stage) for stage in record.stages],
            "violations": record.violations,
            "error": [record.error["kind"], record.error["message"]] if record.error else None,
            "attempt": record.attempt if record.attempt > 1 else None,
            "repeats": _repeats(record, again),
        }
        return {name: value for name, value in entry.items() if value not in (None, {}, [])}

    def _stage(self, stage: Mapping[str, Any]) -> list[float]:
        name, key = self.stages.index(stage["name"]), self.keys.get(stage["key"], -1)
        came = 2 if stage.get("lost") else int(stage["cached"])
        return [name, round(stage["seconds"], 1), came, key]


def _volume(study: Snapshot) -> list[tuple[int, float, float]] | None:
    return volume_over_time(study.trials, study.objectives, study.reference) if study.reference else None


def _slug(name: str) -> str:
    """A folder's name that needs no quoting."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "study"


def _exact(value: float | None) -> float | int | None:
    """The same figure, whole numbers without their ".0"."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if whole and value is not None else value


def _repeats(record: Record, again: Mapping[str, Any]) -> dict[str, list[float]]:
    """Metric -> its values, where a pick measured it anew; a timing that is not trusted tells nothing."""
    names = ("latency_ms", "mAP") if again.get("trusted") else ("mAP",)
    return {
        name: [record.metrics[name], float(again[name])]
        for name in names
        if name in record.metrics and type(again.get(name)) in (int, float)
    }


def _importance(study: Snapshot) -> dict[str, Any]:
    found = {metric: importance(study.trials, metric) for metric in study.objectives}
    return {
        metric: {
            "trials": trials,
            "shares": [[share.name, round(share.share, 4), round(share.chance, 4)] for share in shares],
        }
        for metric, (trials, shares) in found.items()
    }


def _kind(record: Record, on_front: bool) -> str:
    if record.outcome != "complete":
        return record.outcome
    if not record.latency_trusted:
        return "untrusted"
    return "front" if on_front else "dominated"


def metric_of(limit: str) -> str:
    """Name of the metric that a limit is on."""
    return re.split("[<>]=", limit)[0].strip()


def _limit_value(limit: str, baseline: Mapping[str, float]) -> float | None:
    match = _LIMIT.fullmatch(limit.strip())
    if match is None:
        return None
    if match["constant"]:
        return float(match["constant"])
    if match["metric"] not in baseline:
        return None
    offset = float(f"{match['sign'] or ''}{match['offset'] or 0}")
    value = float(match["factor"] or 1) * baseline[match["metric"]] + offset
    # As `spaces.limits` takes it: a trial that meets the limit exactly is not refused for the last digit.
    return (max if "<=" in limit else min)(value, float(f"{value:.13g}"))


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


def _facts(study: Snapshot, choice: Choice | None) -> list[list[str]]:
    """The head of the page, term by term, for readers without scripts too."""
    facts = {
        "Dataset": study.definition["dataset"].get("name", "unknown"),
        "Objectives": ", ".join(f"{direction} {name}" for name, direction in study.objectives.items()),
        "Target": ", ".join(f"{name} {value}" for name, value in study.definition["target"].items()),
        "Limits": _limits(study),
        "Baseline": _baseline(study),
        "Trials": _counts(study),
        "Suggested": choice.reason if choice else "nothing can be picked yet",
        "Protocol": str(study.definition["protocol"]),
    }
    return [[term, one_line(str(text))] for term, text in facts.items()]


def _limits(study: Snapshot) -> str:
    lines = limit_lines(study.definition["limits"], study.baseline)
    shown = [f"{t} ({figure(v)})" if "baseline" in t and v is not None else t for t, v in lines.items()]
    return "; ".join(shown) or "none"


def _baseline(study: Snapshot) -> str:
    baseline = study.baseline
    if baseline is None:
        return "not run yet"
    return ", ".join(
        f"{name} {figure(baseline.metrics[name])}" for name in study.objectives if name in baseline.metrics
    )


def _counts(study: Snapshot) -> str:
    counts = Counter(record.outcome for record in study.trials)
    latest = max((record.finished_at for record in study.trials), default="")
    shown = ", ".join(f"{counts[status]} {status}" for status in sorted(counts)) or "none committed yet"
    return f"{shown}; the last on {latest[:16].replace('T', ' at ')} UTC" if latest else shown


def _clean(value: Any) -> Any:
    # Numbers are by far the most, and told by their type at once.
    if type(value) in (int, float, bool, NoneType):
        return value
    if isinstance(value, str):
        return _line(value)
    if isinstance(value, Mapping):
        return {_line(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value]


# The same few names recur in every trial.
@lru_cache(maxsize=4096)
def _line(text: str) -> str:
    return one_line(text, 500)
