"""Sentences about a choice: why this trial, what the others would give, why nothing fits."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from results.record import Record
from results.wish import Wish, better_higher, figure

__all__ = ["compare", "join", "why_best", "why_empty", "why_none_within"]

_NEAREST = 3
_HINDRANCES = (
    "failed",
    "infeasible",
    "stopped early",
    "with untrusted latency",
    "with files removed to make room",
    "without an objective",
)


def join(parts: Iterable[str]) -> str:
    """Join as in "a, b and c"."""
    words = list(parts)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def compare(record: Record, chosen: Record, objectives: Collection[str]) -> str:
    """The objectives of a record with their difference to the chosen one, e.g. "mAP 0.71 (+0.01)"."""
    return ", ".join(
        f"{name} {figure(record.metrics[name])} ({_signed(record.metrics[name] - chosen.metrics[name])})"
        for name in objectives
    )


def why_best(order: Sequence[Record], wanted: Sequence[str], wishes: Sequence[Wish], within: int) -> str:
    """One sentence on why the first of `order` was chosen.

    Args:
        order: those that could be chosen, best first, at least one.
        wanted: the objectives by which they were ordered.
        wishes: the limits that all of them meet.
        within: how many trials meet the limits; of several objectives only their front is ordered.
    """
    number = order[0].number
    limits = f" with {join(wish.text for wish in wishes)}" if wishes else ""
    figures = ", ".join(f"{name} {figure(order[0].metrics[name])}" for name in wanted)
    if len(wanted) > 1:
        return (
            f"Trial {number} is the knee of the front ({len(order)} of {_trials(within)}{limits}): {figures}."
        )
    best = "highest" if better_higher(wanted[0]) else "lowest"
    return f"Trial {number} has the {best} {wanted[0]} of {_trials(within)}{limits}: {figures}."


def why_none_within(candidates: Sequence[Record], wishes: Sequence[Wish]) -> str:
    """Which trials miss the limits least, and by how much; relative misses of several limits add up."""

    def distance(record: Record) -> tuple[float, int]:
        return sum(wish.relative_excess(record) for wish in wishes), record.number

    nearest = [
        f"trial {record.number} ({join(w.describe_excess(record) for w in wishes if w.excess(record) > 0)})"
        for record in sorted(candidates, key=distance)[:_NEAREST]
    ]
    limits = join(wish.text for wish in wishes)
    return f"none of {_trials(len(candidates))} meets {limits}; nearest: {', '.join(nearest)}"


def why_empty(records: Sequence[Record], gone: Collection[int]) -> str:
    """Why a study has nothing to choose from, with the infeasible trials that miss its limits least.

    Args:
        records: all committed trials.
        gone: numbers of those whose files were removed to make room.
    """
    if not records:
        return "the study has no committed trial yet; run reid-pareto search first"
    counts = Counter(_hindrance(record, gone) for record in records)
    broken = sorted(
        (record for record in records if record.violations and record.number not in gone),
        key=lambda record: (_relative_miss(record.violations), record.number),
    )
    nearest = [f"trial {record.number} ({_broken(record.violations)})" for record in broken[:_NEAREST]]
    return f"none of {_count(len(records), 'trial')} can be picked: " + (
        ", ".join(f"{counts[what]} {what}" for what in _HINDRANCES if counts[what])
        + (f"; nearest: {', '.join(nearest)}" if nearest else "")
    )


def _hindrance(record: Record, gone: Collection[int]) -> str:
    if record.outcome != "complete":
        return "stopped early" if record.outcome == "stopped" else record.outcome
    if record.number in gone:
        return "with files removed to make room"
    return "without an objective" if record.latency_trusted else "with untrusted latency"


def _relative_miss(violations: Mapping[str, float]) -> float:
    """Excesses over their bounds, added up; a limit ends with its bound, e.g. "latency_ms <= 8"."""
    return sum(excess / _bound_of(limit) for limit, excess in violations.items())


def _bound_of(limit: str) -> float:
    try:
        return abs(float(limit.rsplit(" ", 1)[-1])) or 1.0
    except ValueError:  # a trial function of somebody else's may write what it likes
        return 1.0


def _broken(violations: Mapping[str, float]) -> str:
    return join(f"{limit} broken by {figure(excess)}" for limit, excess in violations.items())


def _trials(count: int) -> str:
    return _count(count, "trusted, feasible trial")


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def _signed(difference: float) -> str:
    return f"{'+' if difference >= 0 else '-'}{figure(abs(difference))}"
