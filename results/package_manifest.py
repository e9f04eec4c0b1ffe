"""The manifest of a package: every file with its size and hash, and a hash of the manifest itself.

Unlike a committed folder of a study (results/manifest.py), which may carry temporaries of a crash, a package
comes from anywhere: every byte counts, and nothing may stand beside what is listed.
"""

import json
import stat
from pathlib import Path
from typing import Any

from reid.errors import StudyDamaged, UnverifiedError
from reid.files import sha256_of, write_atomic
from results.sealed import read_sealed, seal

__all__ = ["PACKAGE_MANIFEST", "check_package", "write_package_manifest"]

PACKAGE_MANIFEST = "manifest.json"

_SCHEMA = 1
_KIND = "reid-pareto package"
_MAX_BYTES = 1_000_000
_AGAIN = "get the package anew"
# Networks, JSON and text, which run nothing when they are opened.
_SUFFIXES = frozenset({".onnx", ".xml", ".bin", ".json", ".md", ".txt", ".yaml"})
# Programs for their owner. We hash them and open none: a TorchScript file may hold any code.
_PROGRAMS = frozenset({"embed.py", "model.x86.pt", "model.qnnpack.pt", "model.pte"})


def write_package_manifest(folder: Path) -> Path:
    """List the files of a package; nothing may be added or changed afterwards."""
    files = {
        path.name: {"size_bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in sorted(folder.iterdir())
    }
    return write_atomic(folder / PACKAGE_MANIFEST, _text({"schema": _SCHEMA, "kind": _KIND, "files": files}))


def check_package(folder: Path) -> tuple[str, ...]:
    """Compare a package with its manifest, byte for byte; no other file is interpreted.

    Returns:
        Names of the files that the manifest lists, sorted.

    Raises:
        UnverifiedError: a file is missing, additional, a link, or changed; the manifest itself is missing,
            changed, or of another schema. Names the file.
    """
    if not folder.is_dir():
        raise UnverifiedError(f"{folder} is no package: there is no such folder")
    try:
        return _check(folder)
    except OSError as error:
        raise UnverifiedError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _check(folder: Path) -> tuple[str, ...]:
    files = _read_files(folder / PACKAGE_MANIFEST)
    present = {path.name for path in folder.iterdir()}
    for problem, names in (
        ("is missing", files.keys() - present),
        ("does not belong to the package", present - files.keys() - {PACKAGE_MANIFEST}),
    ):
        if names:
            raise UnverifiedError(f"{folder / min(names)} {problem}; {_AGAIN}")
    for name, expected in files.items():
        if Path(name).suffix not in _SUFFIXES and name not in _PROGRAMS:
            raise UnverifiedError(f"{folder / name} is no kind of file that a package holds; {_AGAIN}")
        _check_file(folder / name, expected)
    return tuple(sorted(files))


def _read_files(path: Path) -> dict[str, dict[str, Any]]:
    try:
        # The bound keeps a planted file from filling the memory before its hash is known.
        if not stat.S_ISREG(path.lstat().st_mode) or path.stat().st_size > _MAX_BYTES:
            raise UnverifiedError(f"{path} is no manifest: not a plain file of at most {_MAX_BYTES} bytes")
        body = read_sealed(path)
        # The seal covers the content; this covers blanks and the order of keys, so that every byte counts.
        same = path.read_bytes() == _text(body).encode()
    except FileNotFoundError:
        raise UnverifiedError(f"{path.parent} is no package: it holds no {path.name}") from None
    except (StudyDamaged, RecursionError) as error:
        raise UnverifiedError(f"{path} is altered or torn; {_AGAIN}") from error
    if not same:
        raise UnverifiedError(f"{path} is altered; {_AGAIN}")
    if body.get("kind") != _KIND or body.get("schema") != _SCHEMA:
        raise UnverifiedError(f"{path}: is not schema {_SCHEMA} of a {_KIND}; use a newer reid-pareto")
    files = body.get("files")
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise UnverifiedError(f"{path} lists no files; {_AGAIN}")
    return files


def _check_file(path: Path, expected: dict[str, Any]) -> None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise UnverifiedError(f"{path} is a link or no plain file; {_AGAIN}")
    if status.st_size != expected.get("size_bytes"):
        raise UnverifiedError(
            f"{path} has {status.st_size} bytes, not {expected.get('size_bytes')}; {_AGAIN}"
        )
    if sha256_of(path) != expected.get("sha256"):
        raise UnverifiedError(f"{path} differs from its sha256 in {PACKAGE_MANIFEST}; {_AGAIN}")


def _text(body: dict[str, Any]) -> str:
    return json.dumps(seal(body), indent=2, sort_keys=True, allow_nan=False) + "\n"
