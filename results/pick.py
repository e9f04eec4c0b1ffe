"""Choose one trial of a study by what the user wishes, and say why.

A limit on one objective asks for the best of the other; no limit asks for the knee of the front.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from reid.errors import ConfigError, NothingFeasible
from results.knee import knee_order
from results.price import Offer, Price, offers
from results.reason import compare, why_best, why_empty, why_none_within
from results.record import Record
from results.study import front_of, objective_values
from results.wish import Wish, is_accuracy, kind_of, make_wishes

__all__ = ["Choice", "Offer", "Price", "ReadableStudy", "RunnerUp", "eligible", "pick", "with_record"]

_RUNNERS_UP = 3


class ReadableStudy(Protocol):
    """The read side of a study, as far as a choice needs it (`results.open_study` returns one)."""

    @property
    def objectives(self) -> Mapping[str, str]:
        """Metric -> "maximize" or "minimize"."""
        ...

    @property
    def baseline(self) -> Record | None:
        """The dense fp32 network, once it was run."""
        ...

    def records(self) -> Sequence[Record]:
        """All committed trials."""
        ...

    def discarded(self) -> Collection[int]:
        """Numbers of the trials whose files were removed to make room: they are told, and can be had no more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerUp:
    """A trial that would have been next.

    Attributes:
        record: the trial.
        trade: its objectives and their difference to the choice, e.g. "mAP 0.71 (+0.01), ...".
    """

    record: Record
    trade: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One trial, and what speaks for it.

    Attributes:
        record: the chosen trial.
        reason: one sentence.
        runners_up: at most three, best first; empty when the trial was named.
        prices: one per limit that kept a better trial out.
        offers: what a little more of each objective would buy.
        wanted: the objectives by which the trials were ordered; empty when the trial was named.
        wishes: the limits that the choice and its runners-up meet.
    """

    record: Record
    reason: str
    runners_up: tuple[RunnerUp, ...] = ()
    prices: tuple[Price, ...] = ()
    offers: tuple[Offer, ...] = ()
    wanted: tuple[str, ...] = ()
    wishes: tuple[Wish, ...] = ()


def pick(
    study: ReadableStudy,
    *,
    maximum: Mapping[str, float] | None = None,
    minimum: Mapping[str, float] | None = None,
    max_drop: Mapping[str, float] | None = None,
    trial: int | None = None,
) -> Choice:
    """Choose a trial among the complete, feasible ones whose latency is trusted and whose files are there.

    With a limit on latency or throughput the most accurate trial within it wins; with a limit on accuracy the fastest;
    with both the most accurate; with neither (or limits on other metrics only) the knee of the front.

    Args:
        study: read side of a study.
        maximum: metric -> largest value, e.g. {"latency_ms": 5}.
        minimum: metric -> smallest value, e.g. {"mAP": 0.7}.
        max_drop: accuracy -> largest loss against the dense baseline, as a fraction.
        trial: number of a complete trial; no limits may stand beside it.

    Raises:
        ConfigError: unknown metric or trial, a trial that is not complete, a limit that makes no sense.
        NothingFeasible: no trial is within the limits; names the nearest and by how much they miss.
    """
    objectives = study.objectives
    if trial is not None:
        if maximum or minimum or max_drop:
            raise ConfigError("--trial names the choice: leave out --max, --min and --max-drop, or --trial")
        return _named(study, trial, objectives)
    candidates = _candidates(study)
    if not candidates:
        raise NothingFeasible(why_empty(study.records(), study.discarded()))
    wishes = make_wishes(
        candidates,
        study.baseline,
        maximum=maximum or {},
        minimum=minimum or {},
        max_drop=max_drop or {},
    )
    wanted = _wanted(objectives, wishes)
    within = _within(candidates, wishes)
    order = _order(within, wanted, objectives)
    if not order:
        raise NothingFeasible(why_none_within(candidates, wishes))
    return Choice(
        record=order[0],
        reason=why_best(order, wanted, wishes, len(within)),
        runners_up=tuple(
            RunnerUp(record=record, trade=compare(record, order[0], objectives))
            for record in order[1 : 1 + _RUNNERS_UP]
        ),
        prices=_prices(order[0], candidates, wishes, wanted, objectives),
        offers=offers(order[0], candidates, wishes, objectives),
        wanted=wanted,
        wishes=wishes,
    )


def eligible(record: Record, objectives: Mapping[str, str]) -> bool:
    """Whether a trial may be on the front: complete, feasible, latency trusted, all objectives measured."""
    return record.feasible and record.latency_trusted and all(name in record.metrics for name in objectives)


def with_record(choice: Choice, record: Record, study: ReadableStudy) -> Choice:
    """The same wishes with another of the candidates chosen: trades, prices and offers are told from it.

    Args:
        choice: from `pick`, of the same study.
        record: the choice itself or one of its runners-up.
        study: read side of the study.
    """
    if record.number == choice.record.number:
        return choice
    objectives = study.objectives
    candidates = _candidates(study)
    others = [choice.record, *(runner.record for runner in choice.runners_up if runner.record is not record)]
    return replace(
        choice,
        record=record,
        runners_up=tuple(RunnerUp(record=one, trade=compare(one, record, objectives)) for one in others),
        prices=_prices(record, candidates, choice.wishes, choice.wanted, objectives),
        offers=offers(record, candidates, choice.wishes, objectives),
    )


def _candidates(study: ReadableStudy) -> list[Record]:
    gone = study.discarded()
    return [
        record
        for record in study.records()
        if record.number not in gone and eligible(record, study.objectives)
    ]


def _within(candidates: Sequence[Record], wishes: Sequence[Wish]) -> list[Record]:
    return [record for record in candidates if all(wish.excess(record) <= 0 for wish in wishes)]


def _wanted(objectives: Mapping[str, str], wishes: Sequence[Wish]) -> tuple[str, ...]:
    """The objectives that the limits leave open; the accuracy when they leave none."""
    limited = {kind_of(wish.metric) for wish in wishes}
    left_open = tuple(name for name in objectives if kind_of(name) not in limited)
    if left_open:
        return left_open
    return (next((name for name in objectives if is_accuracy(name)), next(iter(objectives))),)


def _order(records: Sequence[Record], wanted: Sequence[str], objectives: Mapping[str, str]) -> list[Record]:
    """Best first: by the one wanted objective, or from the knee of the front of several outwards."""
    if not records:
        return []
    if len(wanted) == 1:
        ranked = [*wanted, *(name for name in objectives if name not in wanted)]
        return sorted(
            records, key=lambda record: (*(_cost(record, n, objectives) for n in ranked), record.number)
        )
    open_objectives = {name: objectives[name] for name in wanted}
    front = front_of(records, open_objectives)
    values = objective_values(front, open_objectives)
    return [front[index] for index in knee_order(values, list(open_objectives.values()))]


def _cost(record: Record, name: str, objectives: Mapping[str, str]) -> float:
    value = record.metrics[name]
    return -value if objectives[name] == "maximize" else value


def _prices(
    chosen: Record,
    candidates: Sequence[Record],
    wishes: Sequence[Wish],
    wanted: Sequence[str],
    objectives: Mapping[str, str],
) -> tuple[Price, ...]:
    prices = []
    for wish in wishes:
        others = [other for other in wishes if other is not wish]
        # None is left where a search that goes on has removed the files of the chosen one since.
        for without in _order(_within(candidates, others), wanted, objectives)[:1]:
            if wish.excess(without) > 0:
                gain = compare(without, chosen, objectives)
                prices.append(Price(wish=wish.text, record=without, gain=gain))
    return tuple(prices)


def _named(study: ReadableStudy, trial: int, objectives: Mapping[str, str]) -> Choice:
    records = {record.number: record for record in study.records()}
    chosen = records.get(trial)
    if chosen is None:
        numbers = f"numbers go from {min(records)} to {max(records)}" if records else "it has none yet"
        raise ConfigError(f"--trial {trial}: the study has no such committed trial; {numbers}")
    if chosen.status != "complete":
        why = "; ".join(chosen.violations) or (chosen.error or {}).get("message", "no reason kept")
        raise ConfigError(f"--trial {trial} is {chosen.status} and cannot be picked: {why}")
    standing = _standing(chosen, records.values(), objectives)
    trades = offers(chosen, _candidates(study), (), objectives) if eligible(chosen, objectives) else ()
    return Choice(record=chosen, reason=f"Trial {trial} was named; it {standing}.", offers=trades)


def _standing(chosen: Record, records: Iterable[Record], objectives: Mapping[str, str]) -> str:
    if not chosen.latency_trusted:
        return "is not on the front, because its latency is not trusted"
    if not eligible(chosen, objectives):
        return "is not on the front, because it breaks a limit of the study or lacks an objective"
    better = _dominating(chosen, records, objectives)
    if better is None:
        return "is on the front"
    return f"is dominated by trial {better.number} ({compare(better, chosen, objectives)})"


def _dominating(chosen: Record, records: Iterable[Record], objectives: Mapping[str, str]) -> Record | None:
    costs = [_cost(chosen, name, objectives) for name in objectives]
    for record in records:
        if eligible(record, objectives):
            others = [_cost(record, name, objectives) for name in objectives]
            if others != costs and all(other <= cost for other, cost in zip(others, costs, strict=True)):
                return record
    return None
