"""Ctrl-C and SIGTERM: once ends the running steps, twice leaves at once; both can be resumed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

__all__ = ["INTERRUPTED", "Stoppable", "interrupts"]

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""

_ONCE = b"\nstopping: no new trials, those that run end their step; once more leaves at once\n"
_TWICE = b"\nleft; the same command resumes\n"
_SHOW_CURSOR = b"\x1b[?25h"


class Stoppable(Protocol):
    """What a signal stops."""

    stopping: bool


@contextmanager
def interrupts(search: Stoppable) -> Iterator[None]:
    """Handle SIGINT and SIGTERM for the time of a `with` block; for the main thread."""

    def handle(number: int, frame: FrameType | None) -> None:
        # Only system calls here: the interrupted code may hold any lock.
        if not search.stopping:
            search.stopping = True
            os.write(2, _ONCE)
            return
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)
        os.write(2, _TWICE)
        # Ray's processes die with this one by themselves, and the study needs no good-bye.
        os._exit(INTERRUPTED)

    former = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
