"""What a search cost and what the stage cache spared it, from the records alone."""

from collections.abc import Sequence
from typing import Literal

from results.record import Record

__all__ = ["lost_seconds", "saved_seconds", "stage_seconds"]


def stage_seconds(
    records: Sequence[Record], of: Literal["seconds", "cpu_seconds", "gpu_seconds"] = "seconds"
) -> dict[str, float]:
    """Stage -> wall, processor or GPU seconds spent in it by all records, in the order in which stages first occur.

    Stages of records that do not tell (schema 1) count as nothing.
    """
    spent: dict[str, float] = {}
    for record in records:
        for stage in record.stages:
            spent[stage["name"]] = spent.get(stage["name"], 0.0) + stage.get(of, 0.0)
    return spent


def lost_seconds(records: Sequence[Record]) -> float:
    """Wall seconds that went into stages of failed trials, and into stages that an attempt left unfinished.

    An upper bound: a failed trial's finished stages may serve others from the cache, and an unfinished stage's epochs
    its next attempt. Attempts that were over within a second are not known.
    """
    return float(
        sum(
            stage["seconds"]
            for record in records
            for stage in record.stages
            if record.status == "failed" or stage.get("lost", False)
        )
    )


def saved_seconds(records: Sequence[Record]) -> float:
    """Seconds that stages taken from the cache would have cost, less what taking them cost.

    A stage is worth the time of the record that computed it; one whose computing trial was never committed
    is worth nothing here, so the figure is a lower bound.
    """
    stages = [stage for record in records for stage in record.stages]
    computed = {
        stage["key"]: stage["seconds"]
        for stage in stages
        if not stage["cached"] and not stage.get("lost", False)
    }
    return float(
        sum(
            max(0.0, computed.get(stage["key"], 0.0) - stage["seconds"])
            for stage in stages
            if stage["cached"]
        )
    )
