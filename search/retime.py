"""A timing session of a study: every network that is there, timed again in turns on this machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reid.config import Target, broken
from reid.errors import ConfigError, ResourceError, StudyInUse
from results.hold import driver_of, hold_study
from results.record import BASELINE_NUMBER, Record, utc_now
from results.retimed import next_session
from results.store import commit_fact, rebuild_table
from results.study import Study
from results.ties import paired_ratio
from search.devices import this_machine
from search.planner import resolve_limits
from spaces import parse_limit

if TYPE_CHECKING:
    from reid.timing import Comparison

__all__ = ["Session", "retime"]

AT_ONCE = 16
"""Trials that are open at a time; of large networks more would not fit into memory."""

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
        ConfigError: the study has no baseline yet, or as many sessions as it can; nothing was timed.
        StudyInUse: a search with it is running.
        UnverifiedError: an artifact is altered.
        ResourceError: the machine was not quiet, so nothing was committed; or the study cannot be written.
    """
    baseline = study.baseline
    if baseline is None:
        raise ConfigError(f"{study.place} has no baseline yet; there is nothing to time")
    if driver := driver_of(study):
        raise StudyInUse(f"{study.place} is being searched by {driver}; time it when that has ended")
    # A search that began meanwhile would commit trials that the session does not know.
    with hold_study(study.place) as held:
        return _session(study, baseline, held.check, say)


def _session(
    study: Study, baseline: Record, still_ours: Callable[[], None], say: Callable[[str], None]
) -> Session:
    kind = next_session(study.path)  # first: a study that takes no further session is not timed for nothing
    complete = [record for record in study.records() if record.status == "complete"]
    gone = study.discarded()
    trials = [record for record in complete if record.number not in gone]
    say(f"timing the baseline and {len(trials)} trials in turns")
    timings = _in_turns(study, baseline, trials, say)
    facts = _facts(study, [baseline, *trials], timings)
    facts[BASELINE_NUMBER]["trials"] = [record.number for record in complete]
    # The baseline last: with it the session counts.
    for record in (*trials, baseline):
        still_ours()
        commit_fact(study, record.number, kind, facts[record.number])
    rebuild_table(study)
    return Session(
        timed={record.number: facts[record.number]["trusted"] for record in trials},
        left_out=tuple(record.number for record in complete if record.number in gone),
    )


def _in_turns(
    study: Study, baseline: Record, trials: Sequence[Record], say: Callable[[str], None]
) -> dict[int, Figures]:
    """Timing of each network; a few trials at a time share the turns with the baseline."""
    found: dict[int, Figures] = {}
    kernel_ms: float | None = None
    for first in range(0, max(1, len(trials)), AT_ONCE):
        if first:
            say(f"{first} of {len(trials)} are timed")
        group = [baseline, *trials[first : first + AT_ONCE]]
        timing = _compare(study, group)
        kernel_ms = timing.kernel_ms[0] if kernel_ms is None else kernel_ms
        if reason := timing.doubts_of(0, kernel_ms):
            raise ResourceError(f"nothing was committed: {reason}; try again when the machine is quiet")
        for index, record in enumerate(group):
            found.setdefault(record.number, _figures(record, timing, index, kernel_ms))
    return found


def _compare(study: Study, records: Sequence[Record]) -> "Comparison":
    from reid.runtime import model_file  # here, because torch is slow to import
    from search.packages import compare_files

    targets = [Target.from_dict(record.config["target"]) for record in records]
    return compare_files([model_file(study.artifact(record.number)) for record in records], targets)


def _figures(record: Record, timing: "Comparison", index: int, kernel_ms: float) -> Figures:
    """What was measured of one network of a group whose first is the baseline."""
    p10, median, p90 = np.percentile(timing.samples_ms[index], (10, 50, 90))
    reason = timing.doubts_of(index, kernel_ms)
    return {
        "metrics": {
            "latency_ms": float(median),
            "latency_p10_ms": float(p10),
            "latency_p90_ms": float(p90),
            "latency_ratio": paired_ratio(timing.rounds_ms[0], timing.rounds_ms[index]).value,
            "throughput_per_s": record.config["target"]["batch"] * 1000 / float(median),
        },
        "trusted": not reason,
        "reason": reason,
        "kernel_ms": kernel_ms,
        "samples_ms": timing.samples_ms[index].tolist(),
    }


def _facts(study: Study, records: Sequence[Record], timings: dict[int, Figures]) -> dict[int, Figures]:
    """Fact of each trial, the baseline first: what was measured, what limits it breaks, where and when."""
    shared = {**this_machine(), "device": records[0].config["target"]["device"], "timed_at": utc_now()}
    texts = map(parse_limit, study.definition["limits"])
    limits = resolve_limits(texts, {**records[0].metrics, **timings[BASELINE_NUMBER]["metrics"]})
    facts = {}
    for record in records:
        timing = timings[record.number]
        judged = () if record.number == BASELINE_NUMBER else limits
        metrics = {**record.metrics, **timing["metrics"]}
        facts[record.number] = {
            **timing, **shared, "violations": broken(judged, metrics, trusted=timing["trusted"])
        }  # fmt: skip
    return facts
