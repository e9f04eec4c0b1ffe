"""The local mirror of a study in an object store: the remote is the truth, the mirror is what code opens.

A record is committed when its object is there. The driver and the readers of one machine have a mirror each, so
that a reader never takes what the driver is about to commit for something that the store has lost.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from reid.errors import ConfigError
from reid.files import remove_tree, user_cache, write_atomic
from results import layout
from results.flock import locked
from results.manifest import MANIFEST
from results.remote import Remote

__all__ = [
    "alone",
    "forget",
    "mirror_folder",
    "pull",
    "pull_artifact",
    "push",
    "push_artifact",
    "withdraw_artifact",
]

_PROBED = 16
_RECORD = re.compile(r"trials/(\d{6,})\.json")


def mirror_folder(uri: str, role: Literal["driver", "reader"]) -> Path:
    """Where the mirror of a study lies: below $XDG_CACHE_HOME or ~/.cache, for this user only."""
    name = hashlib.sha256(uri.encode()).hexdigest()[:24]
    return user_cache() / "studies" / name / role


@contextmanager
def alone(mirror: Path) -> Iterator[None]:
    """Hold a mirror alone, for as long as what it has and what the store has differ by our doing.

    All readers of a user share one: `pull` would remove what another thread or process wrote and did not push yet.

    Raises:
        ResourceError: the lock cannot be taken.
    """
    mirror.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(mirror.with_name(f"{mirror.name}.lock")):
        yield


def pull(remote: Remote, mirror: Path) -> None:
    """Make the definition and the records of the mirror those of the store; artifacts are left out.

    A record that a lagging listing does not show yet is asked for by its name.

    Raises:
        ConfigError: there is no study at the remote place.
        ResourceError: the store does not answer, or the mirror cannot be written.
    """
    with alone(mirror):
        _pull(remote, mirror)


def _pull(remote: Remote, mirror: Path) -> None:
    try:
        definition = remote.read("study.json")
    except FileNotFoundError as error:
        raise ConfigError(
            f"no study at {remote.uri} (no study.json); reid-pareto search makes one"
        ) from error
    mirror.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = layout.definition_path(mirror)
    if kept.exists() and kept.read_bytes() != definition:
        forget(mirror)  # Its study was removed from the store, and another made in the same place.
    for name in ("trials", "artifacts"):
        (mirror / name).mkdir(exist_ok=True)
    _put_local(kept, definition)
    listed = {name: size for name, size in remote.names("trials").items() if name.endswith(".json")}
    names = {*listed, *remote.present(_unlisted(listed))}
    for name in sorted(names):
        path = mirror / name
        fresh = path.exists() and path.stat().st_size == listed.get(name) and ".started." not in name
        if not fresh:
            try:
                _put_local(path, remote.read(name))
            except FileNotFoundError:
                continue  # A note that was committed between the listing and the reading.
    for path in layout.trials_folder(mirror).glob("*.json"):
        if f"trials/{path.name}" not in names and not layout.is_temporary(path.name):
            path.unlink(missing_ok=True)


def forget(mirror: Path) -> None:
    """Remove what a mirror holds of a study; its lock stays."""
    layout.definition_path(mirror).unlink(missing_ok=True)
    for entry in list(mirror.iterdir()):
        if entry != layout.lock_path(mirror):
            remove_tree(entry)


def pull_artifact(remote: Remote, mirror: Path, number: int) -> None:
    """Fetch the files of a trial; without its COMMIT.json in the store there is nothing to fetch."""
    with alone(mirror):
        folder = layout.artifact_folder(mirror, number)
        if (folder / MANIFEST).exists():
            return
        prefix = folder.relative_to(mirror).as_posix()
        if not remote.present([f"{prefix}/{MANIFEST}"]):
            return
        names = sorted(remote.names(prefix), key=lambda name: name.endswith(f"/{MANIFEST}"))
        for name in names:
            relative = Path(name)
            if ".." not in relative.parts:
                _put_local(mirror / relative, remote.read(name))


def push(remote: Remote, mirror: Path, path: Path, *, once: bool = False) -> None:
    """Put a file of the mirror into the store under the same name.

    Args:
        remote: the study's place.
        mirror: its local mirror.
        path: a file in it.
        once: the name must be free.

    Raises:
        FileExistsError: `once`, and the name is taken; the mirror's file is removed.
        ResourceError: the store does not take it; the mirror's file is removed.
    """
    name = path.relative_to(mirror).as_posix()
    try:
        if once and remote.present([name]):
            raise FileExistsError(name)
        remote.write(name, path.read_bytes())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def push_artifact(remote: Remote, mirror: Path, number: int) -> None:
    """Put the committed files of a trial into the store, COMMIT.json last; what was there is removed first."""
    folder = layout.artifact_folder(mirror, number)
    withdraw_artifact(remote, mirror, number)
    try:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in sorted(paths, key=lambda path: path.name == MANIFEST):
            remote.write(path.relative_to(mirror).as_posix(), path.read_bytes())
    except BaseException:
        remove_tree(folder)
        raise


def withdraw_artifact(remote: Remote, mirror: Path, number: int) -> None:
    """Remove the files of a trial from the store, COMMIT.json first."""
    prefix = layout.artifact_folder(mirror, number).relative_to(mirror).as_posix()
    remote.delete(f"{prefix}/{MANIFEST}")
    for name in remote.names(prefix):
        remote.delete(name)


def _unlisted(listed: dict[str, int]) -> list[str]:
    found = {int(match[1]) for name in listed if (match := _RECORD.fullmatch(name))}
    begun = [int(digits) for name in listed if (digits := name[len("trials/") :][:6]).isdecimal()]
    wanted = set(range(max(begun, default=-1) + 1 + _PROBED)) - found
    names = [f"trials/{number:06d}.json" for number in sorted(wanted)]
    return names if "trials/baseline.json" in listed else [*names, "trials/baseline.json"]


def _put_local(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        write_atomic(path, content)
