"""One readers-writer lock per device and machine, so that timing has the device to itself.

Every training and evaluation step holds the lock shared, a timing holds it exclusively. Both are `flock`s, which
the kernel releases when their holder dies, and any processes of one machine share them, whichever study they
work for. Whoever wants the lock passes a turnstile first and holds it until the lock is his: a waiting timer
thereby stops new steps from starting, and who came while a timing ran is served before the next one.
"""

import contextlib
import fcntl
import os
import re
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from reid.errors import ConfigError, ResourceError
from reid.timing.physical import physical_device
from reid.timing.waiting import told_if_long

__all__ = ["DeviceLock"]


class DeviceLock:
    """The lock of one device of this machine; any number of objects and processes may stand for it.

    A thread that holds it may enter `shared` again at no cost; it must not ask for `exclusive` while it holds it
    shared. A process forked while the lock is held does not hold it.

    Attributes:
        device: name of the device.
        path: the locked file, empty, never removed by us.

    Example:
        >>> import tempfile
        >>> lock = DeviceLock("cpu", folder=Path(tempfile.mkdtemp()))
        >>> with lock.shared():
        ...     pass  # one training step
    """

    def __init__(self, device: str, *, beside: Iterable[str] = (), folder: Path | None = None) -> None:
        """Name the lock; nothing is locked or opened yet.

        Args:
            device: e.g. "cpu" or "cuda:0"; a GPU has one lock, by whatever number a process sees it.
            beside: devices that are used along with it, e.g. the GPU that trains what is timed on the CPU; they are
                held shared whenever it is held.
            folder: where the files of the locks lie, on a local filesystem. By default $REID_PARETO_LOCKS, else
                `reid-pareto-locks-<uid>` in the temporary folder. Created for this user only (mode 0700).

        Raises:
            ConfigError: `device` is no such name, or the default folder is open to other users.
            ResourceError: the folder cannot be made.
        """
        if not re.fullmatch(r"[a-z]+(:\d+)?", device):
            raise ConfigError(f"device must be a name like cpu or cuda:0, got {device!r}")
        self.device = device
        place = folder or _default_folder()
        self.path = place / f"{physical_device(device).replace(':', '-')}.lock"
        self._turnstile = self.path.with_suffix(".turnstile")
        _make_private(place, must_be_ours=folder is None and "REID_PARETO_LOCKS" not in os.environ)
        others = {other.path: other for other in (DeviceLock(name, folder=folder) for name in beside)}
        self._beside = tuple(other for path, other in others.items() if path != self.path)

    def shared(self) -> AbstractContextManager[None]:
        """Hold the device together with other steps; waits while a timing runs or waits.

        Raises:
            ResourceError: the files of the lock cannot be opened.
        """
        return self._hold_all(fcntl.LOCK_SH)

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the device alone; waits for the steps under way, at most one timing and who came before it.

        Raises:
            ConfigError: this thread holds the lock shared, and would wait for itself.
            ResourceError: the files of the lock cannot be opened.
        """
        return self._hold_all(fcntl.LOCK_EX)

    @contextmanager
    def _hold_all(self, mode: int) -> Iterator[None]:
        modes = {self: mode, **dict.fromkeys(self._beside, fcntl.LOCK_SH)}
        with contextlib.ExitStack() as stack:
            # In one order everywhere, or two holders would wait for each other.
            for lock in sorted(modes, key=lambda lock: lock.path):
                stack.enter_context(lock._hold(modes[lock]))
            yield

    @contextmanager
    def _hold(self, mode: int) -> Iterator[None]:
        held = _held.modes()
        if self.path in held:
            if mode == fcntl.LOCK_EX and held[self.path] == fcntl.LOCK_SH:
                raise ConfigError(f"leave the shared lock of {self.device} before timing on it")
            yield
            return
        # Whoever holds the turnstile waits for the lock himself.
        turnstile = _lock(self._turnstile, fcntl.LOCK_EX, behind=(self.path,))
        try:
            descriptor = _lock(self.path, mode)
        finally:
            _unlock(turnstile)
        held[self.path] = mode
        try:
            yield
        finally:
            held.pop(self.path, None)
            _unlock(descriptor)


class _Held(threading.local):
    """What this thread holds: mode by path."""

    def __init__(self) -> None:
        self._modes: dict[Path, int] = {}

    def modes(self) -> dict[Path, int]:
        return self._modes


_held = _Held()
_descriptors: set[int] = set()


def _let_go_in_child() -> None:
    # A lock belongs to the open file, which a fork shares: a child that outlives a killed parent would keep it.
    for descriptor in _descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _descriptors.clear()
    _held.modes().clear()


os.register_at_fork(after_in_child=_let_go_in_child)


def _lock(path: Path, mode: int, *, behind: tuple[Path, ...] = ()) -> int:
    """Open `path` anew (threads of one process must not share a descriptor) and lock it.

    Args:
        path: of the file.
        mode: shared or exclusive.
        behind: files that the holder of `path` may be waiting for.
    """
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ResourceError(
                f"cannot open the device lock {path}: {error.strerror}; set REID_PARETO_LOCKS to a folder of yours"
            ) from error
        _descriptors.add(descriptor)
        try:
            _wait_for(descriptor, mode, (path, *behind))
            if _still_there(path, descriptor):
                return descriptor
        except BaseException:
            _unlock(descriptor)
            raise
        _unlock(descriptor)


def _wait_for(descriptor: int, mode: int, files: tuple[Path, ...]) -> None:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        return
    with told_if_long(files):
        fcntl.flock(descriptor, mode)


def _still_there(path: Path, descriptor: int) -> bool:
    # Cleaners of temporary folders remove files: a lock on a removed file would exclude nobody.
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _unlock(descriptor: int) -> None:
    if descriptor not in _descriptors:
        return
    _descriptors.discard(descriptor)
    try:
        # Closing alone would not do while a process being forked still has the file open.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _default_folder() -> Path:
    chosen = os.environ.get("REID_PARETO_LOCKS")
    return Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"reid-pareto-locks-{os.getuid()}"


def _make_private(folder: Path, *, must_be_ours: bool) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ResourceError(
            f"cannot make the folder of device locks {folder}: {error.strerror}; set REID_PARETO_LOCKS to another"
        ) from error
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    if must_be_ours and not ours:
        raise ConfigError(
            f"{folder} is not a folder of this user alone (mode 0700), so another user could stop every timing; "
            "remove it or set REID_PARETO_LOCKS to another folder"
        )
