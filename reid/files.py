"""The one place that writes files: all at once or not at all.

Standard library only, so that every room may import it (docs/decisions/0001-ground-floor.md).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from reid.errors import ResourceError

__all__ = [
    "read_json",
    "remove_tree",
    "sha256_of",
    "sync_folder",
    "temporary_beside",
    "user_cache",
    "write_atomic",
    "write_blocks",
    "write_json",
    "write_volatile",
    "write_with",
]


def write_with(path: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a temporary file beside `path`, make it durable and rename it into place.

    Args:
        path: final name; its folder is created.
        write: receives the temporary path (same suffix as `path`) and must create that file.

    Returns:
        `path`. Until this returns, `path` is absent or still holds its former content.

    Raises:
        ResourceError: the disk is full, read-only or not permitted, or `path` names no file; the temporary file is
            removed.
    """
    if not path.name:
        raise ResourceError(f"cannot write {path}: it names no file")
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


def write_atomic(path: Path, content: bytes | str) -> Path:
    """Write `content` to `path`, durably and all at once.

    Raises:
        ResourceError: as in `write_with`.
    """
    data = content.encode() if isinstance(content, str) else content
    return write_with(path, lambda temporary: _write_bytes(temporary, data))


def write_blocks(path: Path, blocks: Iterable[bytes | memoryview]) -> None:
    """Write a new file block by block, neither durably nor at once.

    For files inside a folder that is renamed when it is complete, or under the temporary name of `write_with`:
    tens of thousands of images, each made durable alone, would take minutes.

    Raises:
        FileExistsError: `path` is there already.
    """
    with path.open("xb") as file:
        for block in blocks:
            file.write(block)


def temporary_beside(path: Path) -> Path:
    """A name in the folder of `path` that no other writer takes, for what is renamed or linked to `path` when whole."""
    return path.with_name(f".{path.stem}.{uuid4().hex[:8]}.tmp{path.suffix}")


def write_volatile(path: Path, content: str) -> None:
    """Replace `path` all at once but not durably: for what is worthless after a crash, such as signs of life.

    Raises:
        OSError: the folder is not there, or nothing can be written.
    """
    temporary = temporary_beside(path)
    try:
        _write_bytes(temporary, content.encode())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_json(path: Path, value: Any) -> Path:
    """Write `value` as indented JSON with sorted keys; NaN and infinities are refused (ValueError)."""
    return write_atomic(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parse a JSON file; raises OSError when it is absent and json.JSONDecodeError when it is no JSON."""
    text = path.read_text()
    try:
        return json.loads(text)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", text[:100], 0) from error


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_cache() -> Path:
    """Where we keep what can be made again, for this user: below $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reid-pareto"


def remove_tree(path: Path) -> None:
    """Remove a folder or file if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: what was created, renamed or removed there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_bytes(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
