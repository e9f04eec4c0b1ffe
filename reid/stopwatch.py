"""Wall and processor time since a moment."""

import os
import time

__all__ = ["Stopwatch"]


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


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
