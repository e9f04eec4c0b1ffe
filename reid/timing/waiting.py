"""A long wait for the lock of a file is told: what is waited for, and who holds it.

The holder is looked up in the kernel's list of locks; nothing is written by whoever takes one.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["PATIENCE_S", "REPEAT_S", "holders", "told_if_long"]

PATIENCE_S = 60.0
"""Seconds of waiting before the first word; a timing or a step takes far less."""

REPEAT_S = 900.0
"""Seconds between two further words."""

_LOCKS = Path("/proc/locks")
_log = logging.getLogger(__name__)


@contextmanager
def told_if_long(files: Sequence[Path]) -> Iterator[None]:
    """Log a warning when the block, which waits for one of `files`, takes long, and rarely again.

    Args:
        files: the awaited file, and those that its holder may be waiting for in turn.
    """
    over = threading.Event()
    watch = threading.Thread(target=_tell, args=(files, over), name="device-lock-wait", daemon=True)
    with contextlib.suppress(RuntimeError):  # where no thread can be had, a silent wait is better than none
        watch.start()
    try:
        yield
    finally:
        over.set()


def holders(file: Path) -> tuple[str, ...]:
    """Each process that holds the lock of a file, as a person can find it; empty where the kernel does not say.

    Processes of another container are not listed by the kernel.
    """
    try:
        found = file.stat()
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return ()
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    pids = []
    for line in lines:
        match line.split():
            # Those that wait have an arrow in place of FLOCK.
            case [_, "FLOCK", _, _, pid, where, *_] if where == place:
                pids.append(int(pid))
    return tuple(_described(pid) for pid in dict.fromkeys(pids))


def _tell(files: Sequence[Path], over: threading.Event) -> None:
    began, pause = time.monotonic(), PATIENCE_S
    while not over.wait(pause):
        who = dict.fromkeys(holder for file in files for holder in holders(file))
        _log.warning(
            "waiting for the device lock %s for %.0f s; held by %s",
            files[0],
            time.monotonic() - began,
            ", ".join(who) or "a process that cannot be named",
        )
        pause = REPEAT_S


def _described(pid: int) -> str:
    folder = Path("/proc") / str(pid)
    try:
        command = (folder / "cmdline").read_text(errors="replace").replace("\0", " ").strip()
        stopped = "State:\tT" in (folder / "status").read_text(errors="replace")
    except OSError:
        return f"process {pid}, which has ended"
    shown = "".join(letter if letter.isprintable() else " " for letter in command)[:200] or "no command line"
    return f"process {pid} ({shown})" + (f", which is stopped: kill -CONT {pid}" if stopped else "")
