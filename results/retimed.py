"""A timing session: the latencies of a study's trials, all taken again in one run on one machine.

A record is never rewritten. The figures of a session are facts beside the records, of kind
"latencya" for the first session, "latencyb" for the second; the baseline's is committed last and makes the session
count. Readers see a trial with the figures of the last session. An older trial that it could not time keeps its figures
and is not trusted any more: they come from another state of the machine. Where a fact of the session is damaged, only
the trial that it is about loses by it.
"""

import string
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from reid.errors import ConfigError
from results import layout
from results.record import BASELINE_NUMBER, Record

__all__ = ["last_session", "next_session", "retimed", "timed_on", "timing_machine"]

_KINDS = [f"latency{letter}" for letter in string.ascii_lowercase]
_RETIMED = "retimed"
_TIMING = "latency"
_TIMED = ("latency_ms", "latency_p10_ms", "latency_p90_ms", "latency_ratio", "throughput_per_s")
_WHERE = ("host", "device", "cpu", "cores", "timed_at")


def last_session(study: Path) -> str | None:
    """Kind of the facts of the last session that was committed in whole, or None."""
    committed = [kind for kind in _KINDS if layout.fact_path(study, BASELINE_NUMBER, kind).exists()]
    return committed[-1] if committed else None


def next_session(study: Path) -> str:
    """Kind of the facts of a new session; one that was broken off is passed over.

    Raises:
        ConfigError: the study has as many sessions as it can.
    """
    used = {kind for kind in _KINDS for _ in _facts_of(study, kind)}
    free = [kind for kind in _KINDS if all(kind > one for one in used)]
    if not free:
        raise ConfigError(f"{study} was timed again {len(_KINDS)} times already, which is the most")
    return free[0]


def _facts_of(study: Path, kind: str) -> list[Path]:
    """Files of the facts of a session, the baseline's among them."""
    return list(layout.trials_folder(study).glob(f"*.{kind}.json"))


def retimed(record: Record, fact: Mapping[str, Any] | None, session: Mapping[str, Any] | None) -> Record:
    """A record as the last session leaves it.

    Args:
        record: as it was committed.
        fact: the session's figures of the trial, where it has any.
        session: any fact of the session, the baseline's if it can be read; None where none can.
    """
    if record.status != "complete":
        return record
    if fact is None:
        return record if session is not None and _is_later(record, session) else _doubted(record)
    here = {key: fact[key] for key in _WHERE if key in fact}
    kernel = {"kernel_ms": fact["kernel_ms"]} if record.number == BASELINE_NUMBER else {}
    return replace(
        record,
        metrics={**record.metrics, **fact["metrics"]},
        violations=dict(fact["violations"]),
        latency_trusted=fact["trusted"],
        checks={**record.checks, **kernel, _TIMING: _timing(fact), _RETIMED: here},
    )


def timing_machine(record: Record) -> Mapping[str, Any]:
    """Where the latency of a trial was taken, as far as it is known: host, device, cpu, cores."""
    session = record.checks.get(_RETIMED)
    if session is None:
        return record.worker
    # The first sessions named no more than their host.
    same = session["host"] == record.worker.get("host")
    return {**record.worker, **session} if same else session


def timed_on(record: Record) -> str | None:
    """Host on which the latency of a trial was taken, where it is known."""
    host: str | None = timing_machine(record).get("host")
    return host


def _timing(fact: Mapping[str, Any]) -> dict[str, Any]:
    """A session's timing of a trial, in the form in which a record keeps its own."""
    metrics = fact["metrics"]
    return {
        "latency_ms": metrics["latency_ms"],
        "p10_ms": metrics["latency_p10_ms"],
        "p90_ms": metrics["latency_p90_ms"],
        "samples_ms": [sample for block in fact["samples_ms"] for sample in block],
        "trusted": fact["trusted"],
        "reason": fact["reason"],
        "kernel_ms": fact["kernel_ms"],
    }


def _is_later(record: Record, session: Mapping[str, Any]) -> bool:
    # By number where the session tells: clocks of two machines, or of one that was set, do not compare.
    if (before := session.get("trials")) is not None:
        return record.number != BASELINE_NUMBER and record.number not in before
    return datetime.fromisoformat(record.finished_at) > datetime.fromisoformat(session["timed_at"])


def _doubted(record: Record) -> Record:
    """A trial that the session has no figures of."""
    known = record.checks.get(_TIMING)
    timing = known if isinstance(known, Mapping) else {}
    doubt = {"trusted": False, "reason": "taken before the last timing session, which has no figures of it"}
    checks = {**record.checks, _TIMING: {**timing, **doubt}}
    # Every session times the baseline, so its fact is damaged. Others are measured by it, and not by another session's.
    shown = {n: v for n, v in record.metrics.items() if record.number != BASELINE_NUMBER or n not in _TIMED}
    return replace(record, metrics=shown, latency_trusted=False, checks=checks)
