"""Figures as people read them: percent, milliseconds, megabytes, minutes."""

from collections.abc import Iterable, Mapping
from typing import Any

from results.record import Record, one_line

__all__ = ["duration_text", "figure_text", "protocol_text", "test_protocol_text"]

_PERCENT = ("mAP", "rank")
_DECIMAL = ("", "k", "M", "G", "T")


def figure_text(metric: str, value: float) -> str:
    """One metric of a record with its unit, e.g. "71.3 %", "4.81 ms", "2.3 MB"."""
    if metric.startswith(_PERCENT):
        return f"{100 * value:.1f} %"
    if metric.endswith("_ms"):
        return f"{value:.3g} ms"
    if metric.endswith("_bytes"):
        return f"{_scaled(value)}B"
    if metric in ("macs", "params"):
        return _scaled(value).strip()
    return f"{value:.3g}"


def protocol_text(records: Iterable[Record]) -> str:
    """How the accuracies of these records were measured, in one line; more than one protocol where they differ."""
    return one_line("; or: ".join(dict.fromkeys(record.protocol for record in records if record.protocol)))


def test_protocol_text(facts: Iterable[Mapping[str, Any] | None]) -> str:
    """The same of facts about the test split, whose name is left out; empty where none tells its protocol."""
    told = (str(fact.get("protocol", "")).removeprefix("test split; ") for fact in facts if fact)
    return one_line("; or: ".join(dict.fromkeys(filter(None, told))))


def duration_text(seconds: float) -> str:
    """Seconds as "12 s", "3 min 5 s" or "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _scaled(value: float) -> str:
    power = 0
    while abs(value) >= 1000 and power < len(_DECIMAL) - 1:
        value /= 1000
        power += 1
    return f"{value:.3g} {_DECIMAL[power]}"
