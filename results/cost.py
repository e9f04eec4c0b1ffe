"""What a search cost and what the stage cache spared it, from the records alone."""

from collections.abc import Sequence

from results.record import Record

__all__ = ["saved_seconds", "stage_seconds"]


def stage_seconds(records: Sequence[Record]) -> dict[str, float]:
    """Stage -> seconds spent in it by all records, in the order in which stages first occur."""
    spent: dict[str, float] = {}
    for record in records:
        for stage in record.stages:
            spent[stage["name"]] = spent.get(stage["name"], 0.0) + stage["seconds"]
    return spent


def saved_seconds(records: Sequence[Record]) -> float:
    """Seconds that stages taken from the cache would have cost, less what taking them cost.

    A stage is worth the time of the record that computed it; one whose computing trial was never committed
    is worth nothing here, so the figure is a lower bound.
    """
    stages = [stage for record in records for stage in record.stages]
    computed = {stage["key"]: stage["seconds"] for stage in stages if not stage["cached"]}
    return float(
        sum(
            max(0.0, computed.get(stage["key"], 0.0) - stage["seconds"])
            for stage in stages
            if stage["cached"]
        )
    )
