"""A megabyte held back in a study, so that a full disk does not keep its own failure from being recorded."""

import errno
import os
from pathlib import Path
from types import TracebackType

from reid.errors import ResourceError, StudyInUse

__all__ = ["RESERVE_BYTES", "Reserve", "disk_is_full"]

RESERVE_BYTES = 2**20
"""Enough for hundreds of records without artifacts."""


class Reserve:
    """The file that holds the space; `with Reserve(study): ...` makes it, and removes it in the end.

    It stays where another driver has taken the study, whose it is then.

    Args:
        study: folder of the study.

    Raises:
        ResourceError: on entering: the disk has not even that much left, or the folder cannot be written.
    """

    def __init__(self, study: Path) -> None:
        self._path = study / "study.reserve"

    def __enter__(self) -> "Reserve":
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._path.unlink(missing_ok=True)
            raise ResourceError(
                f"cannot reserve 1 MiB in {self._path.parent}: {error.strerror or error}; make room first"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The driver that took over uses the same file.
        if kind is None or not issubclass(kind, StudyInUse):
            self.give_up()

    def give_up(self) -> bool:
        """Free the space; whether there was any to free."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True


def disk_is_full(error: ResourceError) -> bool:
    """Whether an error came of a disk, or a quota, without space."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
