"""The write side of a study. What is committed is complete, durable, and never written again.

Order of a trial: `note_started`, then `commit_artifact`, then `commit`; a crash anywhere between leaves a
begun trial, which is run again under its number with the next attempt. Only the holder of the `StudyLock`
writes.
"""

import math
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reid.errors import ConfigError, ResourceError
from reid.files import remove_tree, sync_folder, write_with
from results import layout
from results.manifest import MANIFEST, commit_folder, plain_files
from results.mirror import alone, push, push_artifact, withdraw_artifact
from results.record import Record, utc_now
from results.remote import Remote
from results.sealed import no_access, write_once, write_sealed
from results.study import DISCARDED, STUDY_SCHEMA, Study, open_study

__all__ = [
    "check_place",
    "clear_artifact",
    "commit",
    "commit_artifact",
    "commit_fact",
    "create_study",
    "discard_artifact",
    "note_started",
    "rebuild_table",
]

_REQUIRED = (
    "name", "space", "dataset", "objectives", "limits", "target", "protocol", "reference_point", "seed",
    "sampler", "versions",
)  # fmt: skip
_OPTIONAL = ("code", "files", "warm_start")
_STAMPED = ("schema", "created_at")
_SUBFOLDERS = ("trials", "artifacts")


def create_study(path: Path | str, definition: Mapping[str, Any]) -> Study:
    """Make a study folder, readable by its owner only.

    Args:
        path: absent, empty, or left behind by a creation that was broken off.
        definition: name, space, dataset, objectives (metric -> "maximize" or "minimize"), limits, target,
            protocol, reference_point (metric -> number, or None: see `Study.reference_point`), seed, sampler,
            versions, and perhaps warm_start (observations of other studies) and code (of the user's own networks);
            `schema` and `created_at` are added. The order of the objectives is kept.

    Raises:
        ConfigError: there is a study already, the folder holds other things, or the definition is wrong.
        ResourceError: the folder cannot be made or written.
    """
    root = Path(path)
    _check_definition(definition)
    if "://" in str(path):
        raise ConfigError(
            f"a study is made in a local folder (NFS included) or by reid-pareto search, got {path}"
        )
    check_place(root)
    if layout.definition_path(root).exists():
        raise ConfigError(f"{path} holds a study already; search with it resumes")
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.chmod(0o700)
        for name in _SUBFOLDERS:
            (root / name).mkdir(exist_ok=True)
        sync_folder(root.parent)
    except OSError as error:
        raise ResourceError(f"cannot make a study at {path}: {error.strerror or error}") from error
    stamp = {"schema": STUDY_SCHEMA, "created_at": utc_now()}
    try:
        write_once(layout.definition_path(root), {**stamp, **definition})
    except FileExistsError as error:
        raise ConfigError(f"{path} holds a study already; search with it resumes") from error
    return open_study(root)


def check_place(root: Path) -> None:
    """Refuse a folder that neither is a study nor can become one; nothing is written.

    Raises:
        ConfigError: it is a file, or holds other things.
        ResourceError: it cannot be looked into.
    """
    try:
        if root.exists() and not root.is_dir():
            raise ConfigError(f"{root} is a file; a study is a folder")
        strange = [e for e in sorted(root.iterdir()) if not _left_behind(e, root)] if root.exists() else []
        # Looked for last: the rival that makes a study meanwhile writes its definition before anything else.
        if strange and not layout.definition_path(root).exists():
            raise ConfigError(
                f"{root} is not empty ({strange[0].name}) and no study; name a new or empty folder"
            )
    except PermissionError as error:
        raise no_access(root, error) from error
    except OSError as error:
        raise ResourceError(f"cannot use {root} for a study: {error.strerror or error}") from error


def note_started(study: Study | Path, number: int, attempt: int, params: Mapping[str, Any]) -> Path:
    """Note durably that a trial is begun; a later attempt replaces the note, `commit` removes it.

    Raises:
        ConfigError: the trial is committed already, or attempt < 1.
        ResourceError: the note cannot be written.
    """
    root = _root(study)
    if attempt < 1:
        raise ConfigError(f"attempt must be at least 1, got {attempt}")
    if layout.record_path(root, number).exists():
        raise ConfigError(f"trial {number} of {root} is committed already; it is not run again")
    body = {
        "schema": 1,
        "number": number,
        "attempt": attempt,
        "params": dict(params),
        "started_at": utc_now(),
    }
    with _alone(study):
        path = write_sealed(layout.started_path(root, number), body)
        if remote := _remote(study):
            push(remote, root, path)
    return path


def commit(study: Study | Path, record: Record) -> Path:
    """Commit the record of a trial, durably; number -1 is the baseline.

    Returns:
        The record's file. When this returns, the trial survives a crash of the machine.

    Raises:
        ConfigError: this number is committed already; the record on disk is left as it is.
        ResourceError: the record cannot be written; the trial counts as begun only.
    """
    root = _root(study)
    path = layout.record_path(root, record.number)
    try:
        _write_once(study, path, record.to_dict())
    except FileExistsError as error:
        raise ConfigError(f"{path} is committed already; records are never rewritten") from error
    note = layout.started_path(root, record.number)
    note.unlink(missing_ok=True)
    if remote := _remote(study):
        remote.delete(note.relative_to(root).as_posix())
    return path


def commit_fact(study: Study | Path, number: int, kind: str, fact: Mapping[str, Any]) -> Path:
    """Commit a later fact about a committed trial, e.g. kind "test": its figures on the test split.

    Raises:
        ConfigError: no such trial is committed, the fact is there already, or `kind` is no lower-case word.
        ResourceError: the fact cannot be written.
    """
    root = _root(study)
    path = layout.fact_path(root, number, kind)
    if not layout.record_path(root, number).exists():
        raise ConfigError(f"{root} has no committed trial {number} to add {kind!r} to")
    body = {"schema": 1, "number": number, "kind": kind, "committed_at": utc_now(), "fact": dict(fact)}
    try:
        return _write_once(study, path, body)
    except FileExistsError as error:
        raise ConfigError(f"{path} is committed already; facts are never rewritten") from error


def commit_artifact(study: Study | Path, number: int, folder: Path, *, linked: bool = False) -> str:
    """Copy the files of a trial into the study, durably, their manifest last.

    What an earlier attempt left is replaced as long as the trial has no record.

    Args:
        study: folder or study.
        number: of the trial; -1 is the baseline.
        folder: holds plain files, at least one; it is left as it is.
        linked: the files are linked, not copied, where the filesystem does that, so that they take no further room;
            nobody may write to them any more.

    Returns:
        The folder relative to the study, for `Record.artifact`.

    Raises:
        ConfigError: the trial is committed already, or `folder` has no file.
        UnverifiedError: `folder` holds a link or a special file.
        ResourceError: the files cannot be written.
    """
    root = _root(study)
    if layout.record_path(root, number).exists():
        raise ConfigError(f"trial {number} of {root} is committed already; its artifact is never rewritten")
    target = layout.artifact_folder(root, number)
    sources = plain_files(folder)
    if not sources:
        raise ConfigError(f"{folder} holds no file to commit as artifact of trial {number}")
    (target / MANIFEST).unlink(missing_ok=True)
    remove_tree(target)
    for name, source in sources.items():
        write_with(target / name, partial(_link if linked else shutil.copyfile, source))
    sync_folder(target.parent)
    commit_folder(target)
    if remote := _remote(study):
        push_artifact(remote, root, number)
    return target.relative_to(root).as_posix()


def discard_artifact(study: Study | Path, number: int, reason: str) -> None:
    """Remove the files of a committed trial to make room; its record stays, with the fact "discarded" beside it.

    Args:
        study: folder or study.
        number: of the trial.
        reason: one sentence, told to whoever asks for the artifact later.

    Raises:
        ConfigError: no such trial is committed, or its artifact was discarded before.
        ResourceError: the fact cannot be written; nothing is removed.
    """
    # The fact first: an artifact that is missing without a fact would look like damage.
    commit_fact(study, number, DISCARDED, {"reason": reason})
    clear_artifact(study, number)


def clear_artifact(study: Study | Path, number: int) -> None:
    """Remove the files of a discarded artifact, also where an earlier removal was broken off."""
    root = _root(study)
    folder = layout.artifact_folder(root, number)
    if remote := _remote(study):
        withdraw_artifact(remote, root, number)
    (folder / MANIFEST).unlink(missing_ok=True)
    remove_tree(folder)


def rebuild_table(study: Study | Path) -> Path:
    """Write `trials.parquet` anew from the records, all at once.

    Raises:
        StudyDamaged: a record cannot be read.
        ResourceError: the table cannot be written.
    """
    root = _root(study)
    path = write_with(
        layout.table_path(root), lambda temporary: pq.write_table(open_study(root).table(), temporary)
    )
    pa.default_memory_pool().release_unused()  # else the driver keeps what it needed at its end
    if remote := _remote(study):
        push(remote, root, path)
    return path


def _root(study: Study | Path) -> Path:
    root = study.path if isinstance(study, Study) else Path(study)
    if not layout.definition_path(root).exists():
        raise ConfigError(f"no study at {root} (no study.json)")
    return root


def _remote(study: Study | Path) -> Remote | None:
    return study.remote if isinstance(study, Study) else None


def _alone(study: Study | Path) -> AbstractContextManager[None]:
    return alone(_root(study)) if _remote(study) else nullcontext()


def _write_once(study: Study | Path, path: Path, body: Mapping[str, Any]) -> Path:
    """Write to a free name: in the mirror, then in the store, where it counts."""
    with _alone(study):
        write_once(path, body)
        if remote := _remote(study):
            push(remote, _root(study), path, once=True)
    return path


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another filesystem, or a file of another user
        shutil.copyfile(source, target)


def _left_behind(entry: Path, root: Path) -> bool:
    """Whether a creation that was broken off, or a lock taken before it, made this entry."""
    if entry.name in _SUBFOLDERS:
        return entry.is_dir() and not any(entry.iterdir())
    return entry == layout.lock_path(root) or layout.is_temporary(entry.name)


def _check_definition(definition: Mapping[str, Any]) -> None:
    for problem, names in (
        ("unknown", definition.keys() - {*_REQUIRED, *_OPTIONAL, *_STAMPED}),
        ("missing", set(_REQUIRED) - definition.keys()),
    ):
        if names:
            raise ConfigError(f"{problem} key of a study definition: {', '.join(sorted(names))}")
    if definition.get("schema", STUDY_SCHEMA) != STUDY_SCHEMA:
        raise ConfigError(
            f"schema of a study definition must be {STUDY_SCHEMA}, got {definition['schema']!r}"
        )
    objectives, point = definition["objectives"], definition["reference_point"]
    if not isinstance(objectives, Mapping) or not objectives:
        raise ConfigError(f"objectives must map metrics to maximize or minimize, got {objectives!r}")
    for metric, direction in objectives.items():
        if direction not in ("maximize", "minimize"):
            raise ConfigError(f"objective {metric} must be maximize or minimize, got {direction!r}")
    if point is not None and not _gives_numbers(point, objectives):
        raise ConfigError(
            f"reference_point must give a number for each of {', '.join(objectives)}, got {point!r}"
        )


def _gives_numbers(point: Any, objectives: Mapping[str, str]) -> bool:
    if not isinstance(point, Mapping) or point.keys() != objectives.keys():
        return False
    return all(type(value) in (int, float) and math.isfinite(value) for value in point.values())
