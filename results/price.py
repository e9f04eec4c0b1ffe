"""What limits cost, and what giving a little more of one objective would buy of another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.reason import compare
from results.record import Record
from results.wish import Wish, better_higher, figure, is_accuracy, kind_of

__all__ = ["Offer", "Price", "offers"]

_POINT = 0.01
_MILLISECOND = 1.0
_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one limit costs.

    Attributes:
        wish: text of the limit.
        record: the trial that would be chosen without it.
        gain: its objectives and their difference to the choice.
    """

    wish: str
    record: Record
    gain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What giving up some of one objective would buy.

    Attributes:
        given: the unit that is given up, e.g. "1 ms more".
        record: the trial that could then be had.
        gain: its objectives and their difference to the choice.
        step: where the unit buys nothing, the smallest step that does, e.g. "latency_ms +1.4"; else empty.
    """

    given: str
    record: Record
    gain: str
    step: str = ""

    @property
    def text(self) -> str:
        """The whole offer, e.g. "1 ms more would buy: trial 2, mAP 0.73 (+0.03), latency_ms 4 (+1)"."""
        buys = f"buys nothing; the smallest step that does is {self.step}" if self.step else "would buy"
        return f"{self.given} {buys}: trial {self.record.number}, {self.gain}"


def offers(
    chosen: Record, candidates: Sequence[Record], wishes: Sequence[Wish], objectives: Mapping[str, str]
) -> tuple[Offer, ...]:
    """The best trade for one unit of each objective: a millisecond, a point of accuracy, a tenth of another cost.

    Where a unit buys nothing the smallest step that buys something is offered, and named as larger. Limits on the
    objective that is given up do not count, all others do.

    Args:
        chosen: what the others are compared with.
        candidates: eligible trials, the chosen one may be among them.
        wishes: the limits that were set.
        objectives: metric -> "maximize" or "minimize".

    Returns:
        At most one offer for each objective; none for an objective that buys nothing.
    """
    accuracy = next((name for name in objectives if is_accuracy(name)), None)
    costs = [name for name in objectives if not better_higher(name)]
    if accuracy is None or not costs:
        return ()
    trades = [*((cost, accuracy) for cost in costs), (accuracy, costs[0])]
    found = [_offer(chosen, candidates, wishes, objectives, give, gain) for give, gain in trades]
    return tuple(offer for offer in found if offer is not None)


def _offer(
    chosen: Record,
    candidates: Sequence[Record],
    wishes: Sequence[Wish],
    objectives: Mapping[str, str],
    give: str,
    gain: str,
) -> Offer | None:
    unit, words = _unit(give, chosen)
    others = [wish for wish in wishes if kind_of(wish.metric) != kind_of(give)]
    buyers = {
        record.number: (_loss(record, chosen, give), _loss(record, chosen, gain), record)
        for record in candidates
        if all(name in record.metrics for name in (give, gain))
        and all(wish.excess(record) <= 0 for wish in others)
        and _loss(record, chosen, give) > 0 > _loss(record, chosen, gain)
    }
    if not buyers:
        return None
    # 0.72 - 0.71 is 0.010000000000000009 in floating point, and one point all the same.
    affordable = [buyer for buyer in buyers.values() if buyer[0] <= unit * (1 + 1e-9)]
    if affordable:
        _, _, best = min(affordable, key=lambda buyer: (buyer[1], buyer[0], buyer[2].number))
        return Offer(given=words, record=best, gain=compare(best, chosen, objectives))
    step, _, nearest = min(buyers.values(), key=lambda buyer: (buyer[0], buyer[1], buyer[2].number))
    change = f"{give} {'-' if better_higher(give) else '+'}{figure(step)}"
    return Offer(given=words, record=nearest, gain=compare(nearest, chosen, objectives), step=change)


def _loss(record: Record, chosen: Record, name: str) -> float:
    """By how much a record is worse than the chosen one; negative where it is better."""
    difference = record.metrics[name] - chosen.metrics[name]
    return -difference if better_higher(name) else difference


def _unit(name: str, chosen: Record) -> tuple[float, str]:
    if is_accuracy(name):
        return _POINT, f"1 point of {name} less"
    if name.endswith("_ms"):
        return _MILLISECOND, "1 ms more"
    return abs(chosen.metrics[name]) * _SHARE, f"10 % more {name}"
