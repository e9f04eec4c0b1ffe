"""A timing session of a study: every network that is there, timed again in turns on this machine."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reid.config import Target, broken
from reid.errors import ConfigError, ResourceError
from results.record import BASELINE_NUMBER, Record, utc_now
from results.retimed import next_session
from results.store import commit_fact
from results.study import Study
from results.ties import paired_ratio
from search.planner import resolve_limits
from spaces import parse_limit

if TYPE_CHECKING:
    from reid.timing import Comparison

__all__ = ["Session", "retime"]

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a timing session found.

    Attributes:
        timed: number of each trial -> whether its latency is trusted now.
        left_out: numbers of the complete trials whose files were removed to make room; they are not trusted now.
    """

    timed: dict[int, bool]
    left_out: tuple[int, ...]


def retime(study: Study, say: Callable[[str], None]) -> Session:
    """Time the baseline and every complete trial in turns, and commit their figures as facts of a new session.

    Args:
        study: its records stay as they are; readers see the figures of the last session.
        say: told one line at each step.

    Raises:
        ConfigError: the study has no baseline yet.
        UnverifiedError: an artifact is altered.
        ResourceError: the machine was not quiet, so nothing was committed; or the study cannot be written.
    """
    baseline = study.baseline
    if baseline is None:
        raise ConfigError(f"{study.place} has no baseline yet; there is nothing to time")
    complete = [record for record in study.records() if record.status == "complete"]
    gone = study.discarded()
    records = [baseline, *(record for record in complete if record.number not in gone)]
    say(f"timing the baseline and {len(records) - 1} trials in turns")
    found = _in_turns(study, records)
    if reason := found.doubts_of(0):
        raise ResourceError(f"nothing was committed: {reason}; try again when the machine is quiet")
    facts = _facts(study, records, found)
    kind = next_session(study.path)
    # The baseline last: with it the session counts.
    for record in (*records[1:], baseline):
        commit_fact(study, record.number, kind, facts[record.number])
    return Session(
        timed={record.number: facts[record.number]["trusted"] for record in records[1:]},
        left_out=tuple(record.number for record in complete if record.number in gone),
    )


def _in_turns(study: Study, records: list[Record]) -> "Comparison":
    from reid.runtime import model_file, open_artifact  # here, because torch is slow to import
    from search.packages import compare_runtimes

    targets = [Target.from_dict(record.config["target"]) for record in records]
    opened = [
        open_artifact(model_file(study.artifact(record.number)), target)
        for record, target in zip(records, targets, strict=True)
    ]
    return compare_runtimes(opened, targets[0])


def _facts(study: Study, records: list[Record], found: "Comparison") -> dict[int, Figures]:
    """Fact of each trial: figures, broken limits, trust, samples, place and time."""
    shared = {"host": socket.gethostname(), "timed_at": utc_now(), "kernel_ms": found.kernel_ms[0]}
    figures = [_figures(record, found, index) for index, record in enumerate(records)]
    texts = map(parse_limit, study.definition["limits"])
    limits = resolve_limits(texts, {**records[0].metrics, **figures[0]})
    facts = {}
    for index, record in enumerate(records):
        reason = found.doubts_of(index)
        metrics = {**record.metrics, **figures[index]}
        judged = () if record.number == BASELINE_NUMBER else limits
        facts[record.number] = {
            "metrics": figures[index],
            "violations": broken(judged, metrics, trusted=not reason),
            "trusted": not reason,
            "reason": reason,
            "samples_ms": found.samples_ms[index].tolist(),
            **shared,
        }
    return facts


def _figures(record: Record, found: "Comparison", index: int) -> dict[str, float]:
    p10, median, p90 = np.percentile(found.samples_ms[index], (10, 50, 90))
    return {
        "latency_ms": float(median),
        "latency_p10_ms": float(p10),
        "latency_p90_ms": float(p90),
        "latency_ratio": paired_ratio(found.rounds_ms[0], found.rounds_ms[index]).value,
        "throughput_per_s": record.config["target"]["batch"] * 1000 / float(median),
    }
