"""The log of one attempt of a trial: what its process printed and what the trial said, in one file of bounded size."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from results.layout import log_path
from search.jobs import Job

__all__ = ["LIMIT_BYTES", "append_line", "captured", "keep_log", "trim"]

LIMIT_BYTES = 2**20
"""Size beyond which the older half of a log is dropped."""

_CUT = b"[the older half of this log was dropped]\n"


@contextmanager
def captured(path: Path) -> Iterator[None]:
    """Send standard output and error of this process, native libraries included, to `path` for a `with` block.

    Does nothing where the file cannot be made: a trial is worth more than its log.
    """
    try:
        log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    former = {number: os.dup(number) for number in (1, 2)}
    _flush()
    for number in former:
        os.dup2(log, number)
    os.close(log)
    try:
        yield
    finally:
        _flush()
        for number, descriptor in former.items():
            os.dup2(descriptor, number)
            os.close(descriptor)


def append_line(path: Path, line: str) -> None:
    """Add what a trial said, with the time; nothing where no log is kept."""
    with suppress(OSError):
        log = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(log, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {' '.join(line.split())}\n".encode())
        finally:
            os.close(log)


def trim(path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Drop the older half of a log that is larger than allowed; its writers append, and go on behind the rest."""
    with suppress(OSError):
        log = os.open(path, os.O_RDWR | os.O_APPEND)
        try:
            size = os.fstat(log).st_size
            if size > limit_bytes:
                kept = os.pread(log, limit_bytes // 2, size - limit_bytes // 2)
                os.ftruncate(log, 0)
                os.write(log, _CUT + kept.partition(b"\n")[2])
        finally:
            os.close(log)


def keep_log(study: Path, job: Job) -> str | None:
    """Move the log of an attempt from its work folder to where the study keeps logs; an empty one is dropped.

    Returns:
        Its path below the study's folder, or None.
    """
    kept = log_path(study, job.number, job.attempt)
    try:
        if not job.log.stat().st_size:
            return None
        trim(job.log)
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        os.replace(job.log, kept)
    except OSError:
        return None
    return str(kept.relative_to(study))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
