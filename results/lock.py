"""One driver per study: an flock on `study.lock`, with the holder's name inside for people.

On one machine the kernel releases the lock when its holder dies and keeps it while the holder is merely stopped, so
it can be neither left behind nor stolen. A file server may give it to another machine while the holder is cut off;
therefore each holder writes a higher fencing number, and looks before each commit whether the number is still its own.
"""

import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from reid.errors import ResourceError, StudyInUse
from results.layout import lock_path
from results.record import utc_now

__all__ = ["Holder", "StudyLock", "lock_holder"]

# A reader of `lock_holder` holds the lock for an instant, and a new holder needs one to write its name.
_PATIENCE_S = 1.0
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who drives a study.

    Attributes:
        host: name of its machine.
        pid: its process there.
        since: ISO 8601, UTC.
        fence: number of this hold, higher than that of every earlier one.
    """

    host: str
    pid: int
    since: str
    fence: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


class StudyLock:
    """Hold a study for writing: `with StudyLock(study): ...`.

    The folder is made when absent, so that the lock can be taken before the study is created.

    Raises:
        StudyInUse: on entering, within 2 s: another driver holds it; names its process and machine.
        ResourceError: on entering: the lock file cannot be opened.
    """

    def __init__(self, study: Path) -> None:
        self._path = lock_path(Path(study))
        self._descriptor: int | None = None
        self._fence = 0

    def __enter__(self) -> Self:
        descriptor = _open(self._path)
        deadline = time.monotonic() + _PATIENCE_S
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                holder = _read_holder(descriptor) or "another process"
                os.close(descriptor)
                raise StudyInUse(f"{self._path.parent} is in use by {holder}; wait for it or stop it")
            time.sleep(_PAUSE_S)
        self._descriptor = descriptor
        self._fence = _read_fence(descriptor) + 1
        _write_holder(descriptor, self._fence)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            if self._is_ours():
                _write(self._descriptor, {"fence": self._fence})
            # Closing is not enough: a forked child shares the descriptor and would go on holding the lock.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None

    def check(self) -> None:
        """Make sure that the study is still ours; called before each commit.

        Raises:
            StudyInUse: another driver took over while this one was stopped or cut off.
        """
        if not self._is_ours():
            raise StudyInUse(
                f"{self._path.parent} was taken over by another driver; nothing more is written here"
            )

    def _is_ours(self) -> bool:
        try:
            # By name, not by descriptor: a file that was replaced is another lock.
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return False
        mine = {"fence": self._fence, "host": socket.gethostname(), "pid": os.getpid()}
        return isinstance(found, dict) and all(found.get(name) == value for name, value in mine.items())


def lock_holder(study: Path) -> Holder | None:
    """Who drives the study at this moment, or None; writes nothing."""
    try:
        descriptor = os.open(lock_path(Path(study)), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # A shared lock, let go at once, cannot be mistaken for a driver by another reader.
        if _try_lock(descriptor, fcntl.LOCK_SH):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            return None
        return _read_holder(descriptor) or Holder(host="unknown", pid=0, since="unknown")
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ResourceError(f"cannot lock {path}: {error.strerror or error}") from error


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(descriptor: int, fence: int) -> None:
    _write(descriptor, {"host": socket.gethostname(), "pid": os.getpid(), "since": utc_now(), "fence": fence})


def _write(descriptor: int, content: dict[str, object]) -> None:
    # In place, unlike all other files: a rename would put a second, unlocked file under the name.
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(content).encode(), 0)
    os.fsync(descriptor)


def _read_fence(descriptor: int) -> int:
    try:
        return int(json.loads(os.pread(descriptor, 4096, 0))["fence"])
    except (ValueError, TypeError, KeyError):
        return 0


def _read_holder(descriptor: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None
