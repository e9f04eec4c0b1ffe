"""A run of identical failures: what all configurations share is wrong, not the configurations."""

import json
import re
from typing import Any

from results import Record

__all__ = ["MAX_IDENTICAL_FAILURES", "FailureRun"]

MAX_IDENTICAL_FAILURES = 3
"""Failures of one kind in a row, from different configurations, that pause a search."""


class FailureRun:
    """Counts failures that look alike, as they are committed.

    Args:
        most: as many of them in a row, from different configurations, make a diagnosis; 0 never does.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._alike: dict[str, Record] = {}
        self._cause: tuple[str, str] | None = None

    def add(self, record: Record) -> str | None:
        """Take a committed record; one that did not fail ends the run.

        Returns:
            What is wrong and how to go on, once the run is long enough; else None.
        """
        if record.error is None or record.status != "failed":
            self._alike, self._cause = {}, None
            return None
        cause = (record.error["kind"], _shape(record.error["message"]))
        if cause != self._cause:
            self._alike, self._cause = {}, cause
        self._alike[_settings(record.params)] = record
        if not self._most or len(self._alike) < self._most:
            return None
        numbers = ", ".join(str(known.number) for known in self._alike.values())
        return (
            f"trials {numbers} with different settings failed alike, the last with {record.error['kind']}: "
            f"{record.error['message']}; mend that, then the same command goes on "
            "(--max-identical-failures 0 never pauses)"
        )


def _shape(message: str) -> str:
    """The message without what differs from trial to trial: numbers and paths."""
    return re.sub(r"(/[^\s,;:]+)|\d[\d.e+-]*", "#", message)


def _settings(params: dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)
