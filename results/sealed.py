"""JSON files that carry the SHA-256 of their own content, and the two ways to write them.

The digest is taken over the canonical body (sorted keys, no blanks), so that a torn, flipped or edited file
is told from a whole one without trusting its length or its date.
"""

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.errors import ResourceError, StudyDamaged
from reid.files import sync_folder, temporary_beside, write_atomic

__all__ = ["no_access", "read_sealed", "seal", "write_once", "write_sealed"]

_SEAL = "sha256"


def seal(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with the digest of its canonical form under "sha256"."""
    if _SEAL in body:
        raise ValueError(f"a body to be sealed must not hold the key {_SEAL!r}")
    return {**body, _SEAL: _digest(body)}


def read_sealed(path: Path) -> dict[str, Any]:
    """The body of a sealed file.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such file.
        ResourceError: it is somebody else's and may not be read, which says nothing about its content.
        StudyDamaged: it cannot be read, is no JSON object, or differs from its digest; names the file.
    """
    try:
        body = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise
    except PermissionError as error:
        raise no_access(path, error) from error
    except OSError as error:
        raise StudyDamaged(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise StudyDamaged(f"{path}: is torn or altered (no JSON); restore it") from error
    if not isinstance(body, dict) or not isinstance(body.get(_SEAL), str):
        raise StudyDamaged(f"{path}: carries no {_SEAL}; restore it")
    stored = body.pop(_SEAL)
    try:
        whole = _digest(body) == stored
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise StudyDamaged(f"{path}: differs from its {_SEAL}; restore it")
    return body


def no_access(path: Path, error: PermissionError) -> ResourceError:
    """What is said of a file or folder that may not be read: it is not damaged, and restoring it would not help."""
    return ResourceError(f"cannot read {path}: {error.strerror or error}; ask its owner for access")


def write_sealed(path: Path, body: Mapping[str, Any]) -> Path:
    """Write `body` sealed, durably and all at once, in place of what was there; keys keep their order.

    Raises:
        ResourceError: the disk is full, read-only or not permitted.
    """
    return write_atomic(path, json.dumps(seal(body), indent=2, allow_nan=False) + "\n")


def write_once(path: Path, body: Mapping[str, Any]) -> Path:
    """Write `body` sealed and durably to a name that must be free.

    Raises:
        FileExistsError: `path` is there already; it is left as it is, also when two writers race.
        ResourceError: the disk is full, read-only, not permitted or knows no hard links.
    """
    temporary = temporary_beside(path)
    try:
        write_sealed(temporary, body)
        # A rename would replace a rival's file silently; a hard link to the finished file fails instead.
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        hint = "; the study needs a filesystem with hard links" if error.errno in _NO_LINKS else ""
        raise ResourceError(f"cannot write {path}: {error.strerror or error}{hint}") from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return path


_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


def _digest(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
