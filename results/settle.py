"""The choice after its candidates were measured again: broken limits, ties, and who wins them.

Accuracy is compared on the validation identities alone: nothing is selected on the test split.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reid.errors import NothingFeasible
from results.pick import Choice, ReadableStudy, with_record
from results.reason import join
from results.record import Record
from results.ties import SAME_LATENCY, Interval, paired_difference, paired_ratio
from results.wish import figure

__all__ = ["SAME_SIZE", "Evidence", "Settled", "Standing", "settle"]

SAME_SIZE = 0.01
"""Files whose sizes differ by less than this share are equally large: names and figures inside take bytes too."""

_SPEED_LIMITS = {"latency_ms": "<=", "throughput_per_s": ">="}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What was measured of one candidate at the pick.

    Attributes:
        precision: (Q,) average precision of each validation query, in the same order for all candidates.
        rounds_ms: (R,) median latency of each round; the candidates were timed in turns, so rounds pair.
    """

    precision: NDArray[np.float64]
    rounds_ms: NDArray[np.float64]

    @property
    def latency_ms(self) -> float:
        """Median of the rounds."""
        return float(np.median(self.rounds_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One candidate against the chosen one.

    Attributes:
        record: the candidate.
        latency_ms: as timed at the pick.
        difference: mean average precision minus that of the choice.
        ratio: latency over that of the choice.
        tied: it cannot be told apart from the best candidate in what was wanted.
        broken: text of a limit on latency or throughput that the new timing breaks and by how much, or empty.
    """

    record: Record
    latency_ms: float
    difference: Interval
    ratio: Interval
    tied: bool
    broken: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A choice that was checked.

    Attributes:
        choice: with the trial that is to be packaged; its reason tells of ties and broken limits.
        standings: the chosen one first, then the others in the order of the first choice.
    """

    choice: Choice
    standings: tuple[Standing, ...]


def settle(
    choice: Choice,
    evidence: Mapping[int, Evidence],
    study: ReadableStudy,
    *,
    trusted: bool,
    same_machine: bool,
) -> Settled:
    """Choose anew among the candidates of a choice, now that they were measured side by side.

    A candidate whose new latency breaks a limit on `latency_ms` or `throughput_per_s` by more than `SAME_LATENCY` is
    out. Among the rest, those that cannot be told apart from the first in any wanted objective are ties, and the
    smallest file wins. Files within `SAME_SIZE` of the smallest count as equal: among these the objectives that were
    not wanted decide, as far as they can be told apart, and then the order of the choice. A named trial has no
    candidates and stays.

    Args:
        choice: the first choice with its runners-up.
        evidence: number of each candidate -> what was measured.
        study: read side of the study that the choice is from.
        trusted: the new latencies may be believed; without that they neither break a limit nor make a tie.
        same_machine: the records' latencies come from this machine, so that limits hold for the new ones.

    Raises:
        NothingFeasible: every candidate breaks a latency limit now; names each and by how much.
    """
    candidates = [choice.record, *(runner.record for runner in choice.runners_up)]
    broken = {
        record.number: _broken(choice, record, evidence[record.number], trusted and same_machine)
        for record in candidates
    }
    left = [record for record in candidates if not broken[record.number]]
    if not left:
        misses = ", ".join(f"trial {number} ({why})" for number, why in broken.items())
        raise NothingFeasible(f"timed again, no candidate meets its limit: {misses}")
    tied = [left[0], *(r for r in left[1:] if _same(choice.wanted, left[0], r, evidence, trusted))]
    winner, why = _winner(tied, _rest(choice, study.objectives), evidence, trusted)
    if len(tied) > 1:
        why += _given_up(winner, tied, study.objectives)
    chosen = replace(
        with_record(choice, winner, study),
        reason=_reason(choice, winner, left[0], tied, why, broken, evidence),
    )
    others = [runner.record for runner in chosen.runners_up]
    return Settled(
        choice=chosen,
        standings=tuple(
            _standing(record, winner, evidence, record in tied and len(tied) > 1, broken[record.number])
            for record in (winner, *others)
        ),
    )


def _broken(choice: Choice, record: Record, found: Evidence, comparable: bool) -> str:
    batch = record.config.get("target", {}).get("batch", 1)
    now = {"latency_ms": found.latency_ms, "throughput_per_s": batch * 1000 / found.latency_ms}
    timed = replace(record, metrics={**record.metrics, **now})
    for wish in choice.wishes if comparable else ():
        excess = wish.excess(timed)
        if wish.operator == _SPEED_LIMITS.get(wish.metric) and excess > wish.value * SAME_LATENCY:
            return f"{wish.text} broken by {figure(excess)}"
    return ""


def _same(
    wanted: Sequence[str], first: Record, other: Record, evidence: Mapping[int, Evidence], trusted: bool
) -> bool:
    return bool(wanted) and all(_same_in(metric, first, other, evidence, trusted) for metric in wanted)


def _same_in(
    metric: str, first: Record, other: Record, evidence: Mapping[int, Evidence], trusted: bool
) -> bool:
    one, two = evidence[first.number], evidence[other.number]
    if metric == "mAP":
        return paired_difference(one.precision, two.precision).includes(0)
    if metric == "size_bytes":
        return max(map(_size, (first, other))) <= min(map(_size, (first, other))) * (1 + SAME_SIZE)
    if trusted and _timed_again(metric):
        return paired_ratio(one.rounds_ms, two.rounds_ms).includes(1, within=SAME_LATENCY)
    return first.metrics[metric] == other.metrics[metric]


def _size(record: Record) -> float:
    return record.metrics.get("size_bytes", math.inf)


def _timed_again(metric: str) -> bool:
    """Whether the pick's timing speaks for it; throughput of other batches was not measured."""
    return metric.startswith("latency") or metric == "throughput_per_s"


def _rest(choice: Choice, objectives: Mapping[str, str]) -> dict[str, str]:
    """The objectives that were not wanted, as far as the size of the file leaves them open."""
    decided = {*choice.wanted, "size_bytes"}
    return {name: direction for name, direction in objectives.items() if name not in decided}


def _winner(
    tied: Sequence[Record], rest: Mapping[str, str], evidence: Mapping[int, Evidence], trusted: bool
) -> tuple[Record, str]:
    """Which of the ties wins, and why."""
    most = min(map(_size, tied)) * (1 + SAME_SIZE)
    left = [record for record in tied if _size(record) <= most]
    if len(left) == 1:
        return left[0], f"trial {left[0].number} is the smallest of them ({_size(left[0]):,.0f} bytes)"
    whys = []
    for metric, direction in rest.items():
        best = min(
            left, key=lambda record: _cost(record, metric, direction, evidence[record.number], trusted)
        )
        near = [one for one in left if one is best or _same_in(metric, best, one, evidence, trusted)]
        if len(near) < len(left):
            whys.append(f"has the {'highest' if direction == 'maximize' else 'lowest'} {metric}")
        left = near
    equal = "" if math.isinf(most) else f"among the smallest files, equal within {100 * SAME_SIZE:g} %, "
    return left[0], f"{equal}trial {left[0].number} {' and '.join(whys) or 'comes first'}"


def _cost(record: Record, metric: str, direction: str, found: Evidence, trusted: bool) -> float:
    """What is to be small, measured again where it was."""
    if metric == "mAP":
        return -float(found.precision.mean())
    if trusted and _timed_again(metric):
        return found.latency_ms
    return -record.metrics[metric] if direction == "maximize" else record.metrics[metric]


def _given_up(winner: Record, tied: Sequence[Record], objectives: Mapping[str, str]) -> str:
    """What another of the ties has better than the winner by the records, e.g. "; it gives up 0.003 of mAP ..."."""
    losses = []
    for name, direction in objectives.items():
        sign = -1 if direction == "maximize" else 1
        best = min(tied, key=lambda record: sign * record.metrics[name])
        if loss := abs(winner.metrics[name] - best.metrics[name]):
            losses.append(f"{figure(loss)} of {name} to trial {best.number}")
    return f"; by the records it gives up {join(losses)}" if losses else ""


def _standing(
    record: Record, winner: Record, evidence: Mapping[int, Evidence], tied: bool, broken: str
) -> Standing:
    own, chosen = evidence[record.number], evidence[winner.number]
    return Standing(
        record=record,
        latency_ms=own.latency_ms,
        difference=paired_difference(chosen.precision, own.precision),
        ratio=paired_ratio(chosen.rounds_ms, own.rounds_ms),
        tied=tied,
        broken=broken,
    )


def _reason(
    choice: Choice,
    winner: Record,
    first: Record,
    tied: Sequence[Record],
    why: str,
    broken: Mapping[int, str],
    evidence: Mapping[int, Evidence],
) -> str:
    sentences = [choice.reason]
    sentences += [f"Timed again, trial {number} is out: {why}." for number, why in broken.items() if why]
    if len(tied) > 1:
        numbers = join(str(record.number) for record in tied)
        sentences.append(f"Trials {numbers} cannot be told apart in {join(choice.wanted)}; {why}.")
    elif first is not choice.record:
        sentences.append(
            f"Trial {winner.number} comes next ({figure(evidence[winner.number].latency_ms)} ms now)."
        )
    return " ".join(sentences)
