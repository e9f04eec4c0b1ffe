"""The read side of a study: what was asked, what came of it, and which trials no other beats.

The records are the only truth (docs/record-format.md). Every file is checked against its own digest when it is
read, and nothing here writes; the write side is results/store.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reid.errors import ConfigError, StudyDamaged, UnverifiedError
from results import layout, mirror
from results.front import pareto_front
from results.hypervolume import hypervolume
from results.manifest import verify_folder
from results.record import BASELINE_NUMBER, Record
from results.remote import Remote, is_remote, open_remote
from results.retimed import last_session, retimed
from results.sealed import read_sealed
from results.table import table_of

__all__ = ["DISCARDED", "STUDY_SCHEMA", "Started", "Study", "front_of", "objective_values", "open_study"]

STUDY_SCHEMA = 1

DISCARDED = "discarded"
"""Kind of the fact that a trial's artifact was removed to make room."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A trial that was begun and not committed.

    Attributes:
        number: of the trial.
        attempt: how often it was begun, >= 1.
        params: the searched parameters it was begun with.
        started_at: ISO 8601, UTC.
    """

    number: int
    attempt: int
    params: dict[str, Any]
    started_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study folder, to be read. Every call reads the folder anew, so that a running search can be watched.

    Of a study in an object store the folder is a local mirror, as the store was when the study was opened;
    artifacts are fetched when they are asked for.

    Attributes:
        path: the folder.
        definition: content of `study.json`: what was asked, never changed.
        remote: the object store that is the truth, or None for a folder.
        salvage: leave out what cannot be read (`damaged` lists it) in place of raising StudyDamaged.
    """

    path: Path
    definition: dict[str, Any]
    remote: Remote | None = None
    salvage: bool = False

    @property
    def place(self) -> str:
        """What a user calls it: the folder, or the URI."""
        return str(self.path) if self.remote is None else self.remote.uri

    @property
    def objectives(self) -> dict[str, str]:
        """Metric -> "maximize" or "minimize", in the order of the definition."""
        return dict(self.definition["objectives"])

    @property
    def baseline(self) -> Record | None:
        """The dense fp32 network of the study, once it was run, with the figures of the last timing session.

        Raises:
            StudyDamaged: its record cannot be read. Not with `salvage`.
        """
        place = {BASELINE_NUMBER: layout.record_path(self.path, BASELINE_NUMBER)}
        return next(self._as_timed(_read_each(place, _read_record, self.salvage)), None)

    @property
    def reference_point(self) -> dict[str, float] | None:
        """Metric -> the worst value that counts for the hypervolume.

        Taken from the definition; where that is None, 0 for what is maximized and the baseline's figure for
        what is minimized. None before there is a baseline to say so.
        """
        given = self.definition["reference_point"]
        if given is not None:
            return {name: float(given[name]) for name in self.objectives}
        metrics = self.baseline.metrics if self.baseline else {}
        point = {
            name: 0.0 if direction == "maximize" else metrics.get(name)
            for name, direction in self.objectives.items()
        }
        known = {name: value for name, value in point.items() if value is not None}
        return known if metrics and len(known) == len(point) else None

    def records(self) -> list[Record]:
        """All committed trials without the baseline, by number, with the figures of the last timing session.

        Raises:
            StudyDamaged: a record is torn, altered or of a newer schema; names the file. Not with `salvage`.
        """
        return list(self._trials())

    def _trials(self) -> Iterator[Record]:
        return self._as_timed(_read_each(layout.record_paths(self.path), _read_record, self.salvage))

    def _as_timed(self, records: Iterable[Record]) -> Iterator[Record]:
        session = last_session(self.path)
        if session is None:
            yield from records
            return
        about = self._about(session)
        for record in records:
            yield retimed(record, self.fact(record.number, session), about)

    def _about(self, session: str) -> dict[str, Any] | None:
        """A fact of a session, the baseline's if it can be read: it says when and of which trials."""
        numbers = (BASELINE_NUMBER, *layout.numbers_with_fact(self.path, session))
        facts = (self.fact(number, session) for number in numbers)
        found = next((fact for fact in facts if fact is not None), None)
        return found and {**found, **({"trials": frozenset(found["trials"])} if "trials" in found else {})}

    def refresh(self) -> None:
        """Fetch what an object store has got since the study was opened; a folder is read anew anyway.

        Raises:
            ResourceError: the object store does not answer.
        """
        if self.remote is not None:
            mirror.pull(self.remote, self.path)

    def damaged(self) -> tuple[str, ...]:
        """One line for each file about a trial that cannot be read; names the file."""
        return tuple(_problems(self.path))

    def record(self, number: int) -> Record:
        """The record of one trial; -1 is the baseline.

        Raises:
            ConfigError: no such trial was committed.
            StudyDamaged: its record cannot be read.
        """
        try:
            record = _read_record(layout.record_path(self.path, number), number)
        except FileNotFoundError as error:
            raise ConfigError(f"{self.path} has no committed trial {number}") from error
        return next(self._as_timed([record]))

    def test_record(self, number: int) -> dict[str, Any] | None:
        """Figures of a trial on the test split, or None while they were not taken."""
        return self.fact(number, "test")

    def fact(self, number: int, kind: str) -> dict[str, Any] | None:
        """A later fact about a trial, as `commit_fact` was given it, or None.

        Raises:
            StudyDamaged: the file is torn, altered or about another trial. Not with `salvage`.
        """
        place = {number: layout.fact_path(self.path, number, kind)}
        return next(_read_each(place, partial(_read_fact, kind), self.salvage), None)

    def discarded(self) -> frozenset[int]:
        """Numbers of the trials whose artifacts were removed to make room."""
        return layout.numbers_with_fact(self.path, DISCARDED)

    def started(self) -> tuple[Started, ...]:
        """Trials begun and not committed, without the baseline, by number: what a resumed search runs again.

        Raises:
            StudyDamaged: such a note is torn or altered. Not with `salvage`.
        """
        begun = {
            number: path
            for number, path in layout.started_paths(self.path).items()
            if not layout.record_path(self.path, number).exists()
        }
        return tuple(_read_each(begun, _read_started, self.salvage))

    def front(self) -> list[Record]:
        """The trials that no other beats, best in the first objective first.

        Only complete, feasible trials with a trusted latency take part.
        """
        return front_of(self.records(), self.objectives)

    def hypervolume(self, front: Sequence[Record] | None = None) -> float | None:
        """Volume between the front and `reference_point`; None while there is no such point.

        Args:
            front: what `front` gave; read anew when None.
        """
        point = self.reference_point
        if point is None:
            return None
        values = objective_values(self.front() if front is None else front, self.objectives)
        return hypervolume(values, list(self.objectives.values()), list(point.values()))

    def table(self) -> pa.Table:
        """All committed trials as one table, a row each (columns: `results.table.table_of`)."""
        # One record at a time: together they take many times the memory of their rows.
        return table_of(self._trials())

    def artifact(self, number: int) -> Path:
        """The folder of a trial's exported file, every file compared with its manifest.

        Raises:
            ConfigError: it was removed to make room.
            UnverifiedError: nothing was committed, or a file is missing, short or altered; names it.
        """
        folder = layout.artifact_folder(self.path, number)
        if gone := self.fact(number, DISCARDED):
            raise ConfigError(f"trial {number} has no files any more: {gone['reason']}")
        if self.remote is not None:
            mirror.pull_artifact(self.remote, self.path, number)
        if not folder.is_dir():
            raise UnverifiedError(f"{folder}: trial {number} has no artifact")
        return verify_folder(folder)


def open_study(path: Path | str, *, salvage: bool = False) -> Study:
    """Open a study for reading.

    Args:
        path: a folder, or the URI of a study in an object store, whose records are fetched now.
        salvage: leave out the files about trials that cannot be read.

    Raises:
        ConfigError: there is no study at `path`.
        StudyDamaged: `study.json` is torn, altered, or of a newer schema.
        ResourceError: it may not be read, or the object store does not answer.
    """
    if isinstance(path, str) and is_remote(path):
        remote = open_remote(path)
        folder = mirror.mirror_folder(path, "reader")
        mirror.pull(remote, folder)
        return replace(open_study(folder, salvage=salvage), remote=remote)
    root = Path(path)
    file = layout.definition_path(root)
    try:
        body = read_sealed(file)
    except NotADirectoryError as error:
        raise ConfigError(
            f"no study at {path}, a file; a study is a folder, which reid-pareto search makes"
        ) from error
    except FileNotFoundError as error:
        raise ConfigError(f"no study at {path} (no study.json); reid-pareto search makes one") from error
    schema = body.get("schema")
    if schema != STUDY_SCHEMA:
        raise StudyDamaged(
            f"{file}: schema {schema!r} is not {STUDY_SCHEMA}, which this version reads; upgrade"
        )
    return Study(path=root, definition=body, salvage=salvage)


def front_of(records: Sequence[Record], objectives: Mapping[str, str]) -> list[Record]:
    """The complete, feasible, trusted ones among `records` that no other of them beats.

    Args:
        records: in any order.
        objectives: metric -> "maximize" or "minimize".

    Returns:
        Best in the first objective first, equal ones by number; a record that lacks a metric is left out.
    """
    candidates = [record for record in records if record.feasible and record.latency_trusted]
    values = objective_values(candidates, objectives)
    chosen = np.flatnonzero(pareto_front(values, list(objectives.values())))
    sign = -1.0 if next(iter(objectives.values())) == "maximize" else 1.0
    order = sorted(chosen, key=lambda row: (sign * values[row, 0], candidates[row].number))
    return [candidates[row] for row in order]


def objective_values(records: Sequence[Record], objectives: Mapping[str, str]) -> NDArray[np.float64]:
    """(N, M) float64: the objectives of each record, NaN where it was not measured."""
    rows = [[record.metrics.get(name, np.nan) for name in objectives] for record in records]
    return np.array(rows, dtype=np.float64).reshape(len(records), len(objectives))


def _read_each(paths: Mapping[int, Path], read: Callable[[Path, int], T], salvage: bool) -> Iterator[T]:
    for number, path in paths.items():
        try:
            yield read(path, number)
        except FileNotFoundError:
            continue  # A note that was committed between the listing and the reading.
        except StudyDamaged as error:
            if not salvage:
                raise StudyDamaged(f"{error}; front and status read the rest with --salvage") from error


def _read_record(path: Path, number: int) -> Record:
    record = Record.from_dict(read_sealed(path), path)
    if record.number != number:
        raise StudyDamaged(f"{path}: holds trial {record.number}; restore it")
    return record


def _read_fact(kind: str, path: Path, number: int) -> dict[str, Any]:
    body = read_sealed(path)
    fact = body.get("fact")
    if body.get("number") != number or body.get("kind") != kind or not isinstance(fact, dict):
        raise StudyDamaged(f"{path}: holds no fact {kind!r} about trial {number}")
    return fact


def _read_started(path: Path, number: int) -> Started:
    body = read_sealed(path)
    try:
        note = Started(**{name: value for name, value in body.items() if name != "schema"})
    except TypeError as error:
        raise StudyDamaged(f"{path}: is no note of a begun trial") from error
    if note.number != number:
        raise StudyDamaged(f"{path}: is about trial {note.number}")
    return note


def _problems(study: Path) -> Iterator[str]:
    records = layout.record_paths(study)
    records[BASELINE_NUMBER] = layout.record_path(study, BASELINE_NUMBER)
    numbers = {path: number for number, path in records.items()}
    for path in sorted(layout.trials_folder(study).glob("*.json")):
        if layout.is_temporary(path.name):
            continue
        try:
            if path in numbers:
                _read_record(path, numbers[path])
            else:
                read_sealed(path)
        except FileNotFoundError:
            continue
        except StudyDamaged as error:
            yield str(error)
