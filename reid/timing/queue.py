"""How long this thread stood ready while others had its core: the account that Linux keeps."""

from pathlib import Path

__all__ = ["MAX_QUEUED", "queued_ms"]

MAX_QUEUED = 0.05
"""Largest share of a timing for which others had the core; the kernel may run between two of their turns."""

_ACCOUNT = Path("/proc/thread-self/schedstat")


def queued_ms() -> float:
    """Milliseconds that this thread has waited in its core's queue so far; 0 where the system does not tell.

    The second figure of Linux's schedstat ("time spent waiting on a runqueue", Documentation/scheduler/sched-stats).
    """
    try:
        return int(_ACCOUNT.read_text().split()[1]) / 1e6
    except (OSError, ValueError, IndexError):
        return 0.0
