"""A folder that appears under its name complete or not at all."""

import errno
import fcntl
import glob
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from reid.errors import ConfigError, ResourceError
from reid.files import remove_tree

__all__ = ["building"]

_SWEPT_AFTER_S = 24 * 3600.0
"""Long, because a lock may be unknown to other machines that share the disk."""

_OF_TARGET = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """Fill a temporary folder beside `target` that becomes `target` when the block ends well.

    Beside it, so that the last step is a rename on one filesystem. Whatever goes wrong inside the block, the
    temporary folder is removed and `target` is as it was.

    Args:
        target: absent, or an empty folder.

    Yields:
        The temporary folder, empty.

    Raises:
        ConfigError: `target` is a file or a folder that holds something.
        ResourceError: the disk is full, read-only or not permitted.
    """
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target} is a file; name a folder that is absent or empty")
    if target.exists() and any(target.iterdir()):
        raise ConfigError(f"{target} exists and is not empty; name another folder or delete it")
    work = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
    _sweep(target)
    try:
        work.mkdir(parents=True)
        with _held(work):
            yield work
            os.replace(work, target)
    except OSError as error:
        raise ResourceError(f"{_what_failed(error, work, target)}: {error.strerror or error}") from error
    finally:
        remove_tree(work)


def _what_failed(error: OSError, work: Path, target: Path) -> str:
    """A source may be at fault as well as the target, whose temporary name tells nobody anything."""
    if error.errno in _OF_TARGET:  # whatever file the system names
        return f"cannot write {target}"
    file = Path(error.filename) if isinstance(error.filename, str | os.PathLike) else work
    ours = file == target or file.is_relative_to(work) or work.is_relative_to(file)
    return f"cannot write {target}" if ours else f"cannot make {target}, because of {file}"


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Lock a folder, so that `_sweep` of another process leaves it alone."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network filesystems cannot
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _sweep(target: Path) -> None:
    """Remove what builders of the same target left that were killed some time ago."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.????????.tmp"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime < _SWEPT_AFTER_S:
                continue
            descriptor = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(left)
            finally:
                os.close(descriptor)
