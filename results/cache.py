"""Stages by content, shared by all processes that can lock the folder: computed once, verified when read.

cache/KEY/               the files of the stage and COMMIT.json
cache/KEY.work/          being computed, or left by a process that died: the next one continues in it
cache/KEY.lock           held while KEY is looked up or computed; the kernel frees it when its holder dies
cache/KEY.use            held, by any number, while trials may read KEY; its date is that of the last use
cache/KEY.failed.json    a configuration that cannot work, with the reason
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from reid.errors import ConfigError, NotHere, ResourceError, StudyDamaged, UnverifiedError
from reid.files import remove_tree, sync_folder
from results.eviction import evict
from results.flock import hold_shared, locked, release
from results.manifest import MANIFEST, commit_folder, verify_folder
from results.record import one_line
from results.sealed import read_sealed, write_sealed

__all__ = ["DiskCache"]


class DiskCache:
    """Keeps what stages produce in one folder.

    Within `with DiskCache(...) as cache:` no process evicts what was handed out; without `with`, what is handed out
    may be evicted as soon as there is a limit.

    Args:
        folder: local or NFS; made when absent.
        limit_bytes: what the folder may hold; stages not in use go, the least recently used first, when one was
            added. None sets no limit.

    Raises:
        ConfigError: the limit is below 0.
    """

    def __init__(self, folder: Path, limit_bytes: int | None = None) -> None:
        if limit_bytes is not None and limit_bytes < 0:
            raise ConfigError(f"limit of the cache must be at least 0 bytes, got {limit_bytes}")
        self.folder = Path(folder)
        self._limit_bytes = limit_bytes
        self._holds = False
        self._in_use: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._holds = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holds = False
        while self._in_use:
            release(self._in_use.popitem()[1])
        if self._limit_bytes is not None and self.folder.is_dir():
            evict(self.folder, self._limit_bytes)

    def get_or_compute(self, key: str, compute: Callable[[Path], None]) -> tuple[Path, bool]:
        """The committed folder of stage `key`, computed unless it is there whole.

        Callers that need the same key at once wait for the first; a folder that fails its hashes is computed
        anew, never served.

        Args:
            key: letters, digits, "-", "_" and ".", from `reid.stages.stage_key`.
            compute: fills a work folder. After a crash, or any error but a ConfigError, the next caller gets
                the same folder with what it held, so that epochs are continued; likewise after NotHere.

        Returns:
            The folder, to be read only, and whether it was there already.

        Raises:
            ConfigError: `compute` raised it, now or at an earlier call (remembered, not computed again).
            ResourceError: the disk is full, read-only or not permitted.
            Exception: whatever else `compute` raises; forgotten.
        """
        if not _KEY.fullmatch(key):
            raise ConfigError(f"key of a stage must be letters, digits, '-', '_' or '.', got {key!r}")
        _make(self.folder)
        with locked(self.folder / f"{key}.lock"):
            self._hold(key)
            folder = self.folder / key
            if _is_whole(folder):
                return folder, True
            self._refuse_known_failure(key)
            work = self.folder / f"{key}.work"
            _make(work)
            try:
                compute(work)
            except NotHere:  # another machine of the study may compute it
                raise
            except ConfigError as error:
                self._remember_failure(key, error)
                remove_tree(work)
                raise
            _publish(work, folder)
        if self._limit_bytes is not None:
            evict(self.folder, self._limit_bytes)
        return folder, False

    def _hold(self, key: str) -> None:
        # Under the key's lock, so that nobody is evicting it now.
        if key in self._in_use:
            return
        use = hold_shared(self.folder / f"{key}.use")
        os.utime(use)
        if self._holds:
            self._in_use[key] = use
        else:
            release(use)

    def _failure_path(self, key: str) -> Path:
        return self.folder / f"{key}.failed.json"

    def _remember_failure(self, key: str, error: ConfigError) -> None:
        write_sealed(
            self._failure_path(key), {"schema": 1, "kind": "ConfigError", "message": one_line(str(error))}
        )

    def _refuse_known_failure(self, key: str) -> None:
        path = self._failure_path(key)
        try:
            message = read_sealed(path)["message"]
        except FileNotFoundError:
            return
        except StudyDamaged:
            path.unlink()
            return
        raise ConfigError(f"{message} (known from {path}; remove it to try again)")


# Ends in no ".work", ".lock", ".use" or ".failed.json", so that no key is another key's helper.
_KEY = re.compile(r"(?!.*\.(?:work|lock|use|json)$)[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def _is_whole(folder: Path) -> bool:
    try:
        verify_folder(folder)
    except UnverifiedError:
        return False
    return True


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"cannot make {folder}: {error.strerror or error}") from error


def _publish(work: Path, folder: Path) -> None:
    (folder / MANIFEST).unlink(missing_ok=True)
    remove_tree(folder)
    commit_folder(work)
    try:
        os.replace(work, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise ResourceError(f"cannot write {folder}: {error.strerror or error}") from error
