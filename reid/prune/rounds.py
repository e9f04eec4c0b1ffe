"""Pruning in rounds: prune, slim, finetune, and again, each round on the network that the one before left."""

from collections.abc import Mapping

from reid.prune.plan import PrunePlan, kept_count

__all__ = ["compose", "round_rates"]


def round_rates(
    widths: Mapping[str, int], rates: Mapping[str, float], number: int, rounds: int, round_to: int
) -> dict[str, float]:
    """Share of its present channels that each unit loses in one round, so that the last round ends at `rates`.

    Every round keeps the same share of a unit, apart from rounding: with a rate of 7/8 and three rounds a half each.

    Args:
        widths: channels of each unit in the dense network.
        rates: share of them that all rounds remove together, 0 <= rate < 1.
        number: of the round, from 0.
        rounds: of all, >= 1.
        round_to: kept counts after each round are multiples of this, as for `kept_count`.

    Returns:
        By unit name; to be carried out exactly, i.e. with `round_to` 1.
    """
    found = {}
    for name, width in widths.items():
        before, after = (
            kept_count(width, 1 - (1 - rates[name]) ** (done / rounds), round_to)
            for done in (number, number + 1)
        )
        found[name] = 1 - after / before
    return found


def compose(first: PrunePlan, second: PrunePlan) -> PrunePlan:
    """One plan of the dense network that removes what two plans remove one after the other.

    Args:
        first: of the dense network.
        second: of the network that `first` left; without units it changes nothing.

    Returns:
        A plan in the channels of the dense network.
    """
    if not first.units:
        return second
    if not second.units:
        return first
    kept = {
        unit.name: tuple(first.kept[unit.name][channel] for channel in second.kept[unit.name])
        for unit in first.units
    }
    return PrunePlan(units=first.units, kept=kept)
