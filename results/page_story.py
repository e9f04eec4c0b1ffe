"""How a study went: the volume it covered over time, and where its seconds went."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.cost import saved_seconds
from results.front import pareto_front
from results.hypervolume import hypervolume
from results.record import Record
from results.study import objective_values

__all__ = ["ledger", "volume_over_time"]

_MOMENTS = 200


def volume_over_time(
    records: Sequence[Record], objectives: Mapping[str, str], reference: Mapping[str, float]
) -> list[tuple[int, float, float]]:
    """Hypervolume of what was known at up to 200 moments, evenly spread over the committed trials.

    Args:
        records: in any order; those that may not be on a front count as committed and add no volume.
        objectives: metric -> "maximize" or "minimize".
        reference: metric -> the worst value that counts.

    Returns:
        (trials committed, hours since the first trial began, volume) of each moment, in order of time; empty
        where the volume is infinite.
    """
    if not records:
        return []
    ordered = sorted(records, key=lambda record: (_time(record.finished_at), record.number))
    begun = min(_time(record.started_at) for record in records)
    directions, worst = list(objectives.values()), [reference[name] for name in objectives]
    moments = np.unique(np.linspace(1, len(ordered), min(_MOMENTS, len(ordered))).round().astype(int))
    front: NDArray[np.float64] = np.empty((0, len(objectives)))
    line, before, volume = [], 0, 0.0
    for count in moments.tolist():
        fresh = [r for r in ordered[before:count] if r.feasible and r.latency_trusted]
        before = count
        if fresh:
            known = np.concatenate([front, objective_values(fresh, objectives)])
            front = np.unique(known[pareto_front(known, directions)], axis=0)
            volume = hypervolume(front, directions, worst)
        # A clock that was set back may end a trial before the first began.
        hours = max(0.0, (_time(ordered[count - 1].finished_at) - begun).total_seconds() / 3600)
        line.append((count, hours, volume))
    return line if np.isfinite(volume) else []


def ledger(records: Sequence[Record]) -> dict[str, Any]:
    """Where the seconds of a study went.

    Returns:
        "stages": [name, times computed, times taken from the cache, seconds with those of attempts that did not
        finish] of each stage in the order of the work; "saved": seconds that the cache spared at least; "wall":
        seconds from the first record's start to the last one's end, pauses included; "hosts": machines that took part.
    """
    spent: dict[str, list[float]] = {}
    for record in records:
        for stage in record.stages:
            entry = spent.setdefault(stage["name"], [0, 0, 0.0])
            if not stage.get("lost"):
                entry[1 if stage["cached"] else 0] += 1
            entry[2] += stage["seconds"]
    times = [_time(moment) for record in records for moment in (record.started_at, record.finished_at)]
    return {
        "stages": [
            [name, runs, cached, round(seconds, 1)] for name, (runs, cached, seconds) in spent.items()
        ],
        "saved": round(saved_seconds(records), 1),
        "wall": (max(times) - min(times)).total_seconds() if times else 0.0,
        "hosts": sorted({str(record.worker["host"]) for record in records if "host" in record.worker}),
    }


def _time(moment: str) -> datetime:
    return datetime.fromisoformat(moment)
