"""Advisory locks on files: held by an open descriptor, freed by the kernel when their holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reid.errors import ResourceError

__all__ = ["hold_shared", "locked", "release", "try_locked"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file alone; waits for whoever has it.

    Raises:
        ResourceError: it cannot be opened or locked.
    """
    descriptor = _open(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        release(descriptor)


@contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Hold a file alone if nobody has it; whether that is so.

    Raises:
        ResourceError: it cannot be opened or locked.
    """
    try:
        descriptor = _open(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        release(descriptor)


def hold_shared(path: Path) -> int:
    """Hold a file together with others until `release`; gives the descriptor.

    Raises:
        ResourceError: it cannot be opened or locked.
    """
    return _open(path, fcntl.LOCK_SH)


def release(descriptor: int) -> None:
    """Give a lock back."""
    # Closing is not enough: a forked child (a data loader) would go on holding the lock.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _open(path: Path, kind: int) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ResourceError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(descriptor, kind)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        raise ResourceError(f"cannot lock {path}: {error.strerror or error}") from error
    return descriptor
