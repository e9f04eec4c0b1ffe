"""A timing session: the latencies of a study's trials, all taken again in one run on one machine.

A record is never rewritten (DESIGN section 4). The figures of a session are facts beside the records, of kind
"latencya" for the first session, "latencyb" for the second; the baseline's is committed last and makes the session
count. Readers see a trial with the figures of the last session. An older trial that it could not time keeps its figures
and is not trusted any more: they come from another state of the machine.
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

__all__ = ["last_session", "next_session", "retimed", "timed_on"]

_KINDS = [f"latency{letter}" for letter in string.ascii_lowercase]
_RETIMED = "retimed"


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


def retimed(record: Record, fact: Mapping[str, Any] | None, since: str) -> Record:
    """A record as the last session leaves it.

    Args:
        record: as it was committed.
        fact: the session's figures of the trial, where it has any.
        since: when the session took place, ISO 8601.
    """
    if record.status != "complete":
        return record
    if fact is None:
        older = datetime.fromisoformat(record.finished_at) <= datetime.fromisoformat(since)
        return replace(record, latency_trusted=False) if older else record
    here = {key: fact[key] for key in ("host", "timed_at")}
    kernel = {"kernel_ms": fact["kernel_ms"]} if record.number == BASELINE_NUMBER else {}
    return replace(
        record,
        metrics={**record.metrics, **fact["metrics"]},
        violations=dict(fact["violations"]),
        latency_trusted=fact["trusted"],
        checks={**record.checks, **kernel, _RETIMED: here},
    )


def timed_on(record: Record) -> str | None:
    """Host on which the latency of a trial was taken, where it is known."""
    host: str | None = record.checks.get(_RETIMED, record.worker).get("host")
    return host
