"""Keeping a stage cache within a number of bytes: what was used least recently goes, what is in use stays."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reid.files import remove_tree
from results.flock import try_locked
from results.manifest import MANIFEST

__all__ = ["evict", "size_of"]

_WORK = ".work"


@dataclass(frozen=True, slots=True)
class _Entry:
    folder: Path
    size_bytes: int
    used_s: float

    @property
    def key(self) -> str:
        return self.folder.name.removesuffix(_WORK)


def evict(cache: Path, limit_bytes: int) -> int:
    """Remove stages, the least recently used first, until the rest has at most `limit_bytes`.

    A stage that a trial computes or still reads is passed over (it is locked, see `results.cache`), so the cache
    may stay above its limit while many trials run.

    Returns:
        Bytes removed.

    Raises:
        ResourceError: the locks of a stage cannot be opened.
    """
    entries = sorted(_entries(cache), key=lambda entry: entry.used_s)
    excess = sum(entry.size_bytes for entry in entries) - limit_bytes
    removed = 0
    for entry in entries:
        if removed >= excess:
            break
        lock, use = cache / f"{entry.key}.lock", cache / f"{entry.key}.use"
        with try_locked(lock) as free, try_locked(use) as unused:
            if free and unused:
                # First the manifest: a folder that a kill leaves half removed counts as not there.
                (entry.folder / MANIFEST).unlink(missing_ok=True)
                remove_tree(entry.folder)
                removed += entry.size_bytes
    return removed


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder, as far as they are still there."""
    total = 0
    # Unlike Path.rglob it passes over folders that another process removes meanwhile.
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total


def _entries(cache: Path) -> Iterator[_Entry]:
    for folder in cache.iterdir():
        if folder.is_dir():
            key = folder.name.removesuffix(_WORK)
            used_s = max(_modified_s(folder), _modified_s(cache / f"{key}.use"))
            yield _Entry(folder, size_of(folder), used_s)


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
