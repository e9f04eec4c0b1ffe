"""Wall and processor time since a moment."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["NestedWatch", "Spent", "Stopwatch"]


class Stopwatch:
    """Runs from the moment it is made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()

    @property
    def seconds(self) -> float:
        """Wall time until now."""
        return time.perf_counter() - self._wall

    @property
    def cpu_seconds(self) -> float:
        """Processor time of this process and of its children that have ended, all threads together, until now."""
        return max(0.0, _cpu_seconds() - self._cpu)


@dataclass(slots=True)
class Spent:
    """Wall and processor seconds."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


class NestedWatch:
    """Times work that may lie within other work, each second counted once: to the innermost."""

    def __init__(self) -> None:
        self._within = Spent()

    @contextmanager
    def work(self) -> Iterator[Spent]:
        """Time what happens inside; the figures are there at its end, also where it fails."""
        around, self._within = self._within, Spent()
        own, watch = Spent(), Stopwatch()
        try:
            yield own
        finally:
            whole = Spent(watch.seconds, watch.cpu_seconds)
            own.seconds = whole.seconds - self._within.seconds
            own.cpu_seconds = max(0.0, whole.cpu_seconds - self._within.cpu_seconds)
            around.seconds += whole.seconds
            around.cpu_seconds += whole.cpu_seconds
            self._within = around


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
