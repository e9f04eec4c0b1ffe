"""A folder that is whole or not there: `COMMIT.json`, written last, names each file, size and SHA-256."""

import os
from pathlib import Path

from reid.errors import StudyDamaged, UnverifiedError
from reid.files import sha256_of, sync_folder
from results.layout import is_temporary
from results.sealed import read_sealed, write_sealed

__all__ = ["MANIFEST", "commit_folder", "committed_files", "plain_files", "verify_folder"]

MANIFEST = "COMMIT.json"
_SCHEMA = 1


def commit_folder(folder: Path) -> Path:
    """Make a folder's content durable and write its manifest; temporaries of broken-off writes are removed.

    Returns:
        The manifest's path.

    Raises:
        UnverifiedError: the folder holds a link or a special file; names it.
        ResourceError: the disk is full, read-only or not permitted.
    """
    (folder / MANIFEST).unlink(missing_ok=True)
    for path in folder.rglob(".*"):
        if is_temporary(path.name) and not path.is_dir():
            path.unlink()
    entries = {}
    for name, path in plain_files(folder).items():
        _sync_file(path)
        entries[name] = {"size_bytes": path.stat().st_size, "sha256": sha256_of(path)}
    for inner in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        sync_folder(inner)
    return write_sealed(folder / MANIFEST, {"schema": _SCHEMA, "files": entries})


def verify_folder(folder: Path) -> Path:
    """Compare a committed folder with its manifest, file by file.

    Returns:
        `folder`.

    Raises:
        UnverifiedError: no manifest, or a file is missing, too many, of another size or altered; names it.
    """
    entries = committed_files(folder)
    found = plain_files(folder)
    for name in sorted(entries.keys() - found.keys()):
        raise UnverifiedError(f"{folder / name}: is missing")
    for name, path in sorted(found.items()):
        if name not in entries:
            raise UnverifiedError(f"{path}: is not in {MANIFEST}")
        size, expected = path.stat().st_size, entries[name]["size_bytes"]
        if size != expected:
            raise UnverifiedError(f"{path}: has {size} bytes, {MANIFEST} says {expected}")
        if sha256_of(path) != entries[name]["sha256"]:
            raise UnverifiedError(f"{path}: differs from its sha256 in {MANIFEST}")
    return folder


def plain_files(folder: Path) -> dict[str, Path]:
    """Every file below `folder` but its manifest, by name relative to it.

    Raises:
        UnverifiedError: the folder holds a link or a special file; names it.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UnverifiedError(f"{path}: is no plain file; links and special files are not committed")
        if path.is_file() and path != folder / MANIFEST:
            found[path.relative_to(folder).as_posix()] = path
    return found


def committed_files(folder: Path) -> dict[str, dict[str, int | str]]:
    """Name of each file that the manifest of a folder lists -> "size_bytes" and "sha256"; the files are not looked at.

    Raises:
        UnverifiedError: no manifest, or it is torn, altered, or of another schema.
    """
    path = folder / MANIFEST
    try:
        body = read_sealed(path)
    except FileNotFoundError as error:
        raise UnverifiedError(f"{folder}: was never committed (no {MANIFEST})") from error
    except StudyDamaged as error:
        raise UnverifiedError(f"{path}: is torn or altered") from error
    if body.get("schema") != _SCHEMA:
        raise UnverifiedError(
            f"{path}: schema {body.get('schema')!r} is not {_SCHEMA}, which this version reads"
        )
    entries: dict[str, dict[str, int | str]] = body["files"]
    return entries


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
