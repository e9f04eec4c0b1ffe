"""The facts about one trial: immutable, strictly typed, and the same in memory as in `trials/000012.json`.

The format is described in docs/record-format.md; tests/results/golden/ holds a file of each schema.
"""

import dataclasses
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real
from pathlib import PurePosixPath
from typing import Any, Literal, Self

from reid.errors import ConfigError, StudyDamaged

__all__ = ["BASELINE_NUMBER", "RECORD_SCHEMA", "STATUSES", "Record", "one_line", "utc_now"]

RECORD_SCHEMA = 2
BASELINE_NUMBER = -1
STATUSES = ("complete", "infeasible", "stopped", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One committed trial. Every value is plain JSON: tuples become lists, numpy scalars become numbers.

    Attributes:
        schema: version of this format.
        number: of the trial, >= 0; `BASELINE_NUMBER` (-1) is the dense fp32 baseline.
        attempt: how often the trial was begun, this time included, >= 1.
        status: "complete", "infeasible" (a limit or a parity check is broken), "stopped" (early, for others did
            better; its figures are those of its last evaluated epoch) or "failed".
        params: the searched parameters.
        config: all settings of the trial.
        metrics: finite figures by name: mAP, rank1 ... as fractions, latency_ms, size_bytes, macs, params.
        latency_trusted: False keeps the trial off the front.
        violations: text of each broken limit -> by how much, in the metric's unit; empty when feasible.
        error: {"kind", "message"} of a trial that failed (or of a parity check); the message is one line.
        stages: {"name", "key", "seconds", "cached"} of each stage, in order, those of attempts that failed first;
            where known also "cpu_seconds" and "gpu_seconds", and "lost": true where it was begun and not finished.
        curves: what each epoch reported, in order.
        checks: figures of the invariants, e.g. parity_min_cosine.
        artifact: folder relative to the study, or None.
        started_at: ISO 8601, UTC.
        finished_at: ISO 8601, UTC.
        worker: where it ran (host, device ...).
        versions: of the libraries that matter.
        protocol: how it was evaluated.
    """

    schema: int = RECORD_SCHEMA
    number: int
    attempt: int = 1
    status: Literal["complete", "infeasible", "stopped", "failed"]
    params: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    latency_trusted: bool = False
    violations: dict[str, float] = field(default_factory=dict)
    error: dict[str, str] | None = None
    stages: Sequence[dict[str, Any]] = ()
    curves: Sequence[dict[str, Any]] = ()
    checks: dict[str, Any] = field(default_factory=dict)
    artifact: str | None = None
    started_at: str
    finished_at: str
    worker: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    protocol: str = ""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, _plain((name,), getattr(self, name)))
        _check_identity(self)
        for name in _MAPPINGS:
            _demand(isinstance(getattr(self, name), dict), name, getattr(self, name), "a mapping")
        for name in ("metrics", "violations"):
            for key, value in getattr(self, name).items():
                _demand(_is_number(value), f"{name}.{key}", value, "a finite number")
        for name in ("stages", "curves"):
            entries = getattr(self, name)
            _demand(isinstance(entries, list), name, entries, "a list of mappings")
            _demand(all(isinstance(entry, dict) for entry in entries), name, entries, "a list of mappings")
        for stage in self.stages:
            _check_stage(stage)
        object.__setattr__(self, "error", _clean_error(self.error))
        _demand((self.error is not None) or self.status != "failed", "error", self.error,
                "given for a failed trial")  # fmt: skip
        _demand(self.error is None or self.status != "complete", "error", self.error,
                "None for a complete trial")  # fmt: skip

    @property
    def feasible(self) -> bool:
        """Whether the trial is complete and breaks no limit."""
        return self.status == "complete" and not any(excess > 0 for excess in self.violations.values())

    @property
    def outcome(self) -> str:
        """The status, but "infeasible" of a complete trial that was timed again and breaks a limit since then."""
        return "infeasible" if self.status == "complete" and not self.feasible else self.status

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` gives an equal record back."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: object = "record") -> Self:
        """Build from what `to_dict` gave.

        Args:
            values: every field, and no other key.
            source: what the error names, usually the file.

        Raises:
            StudyDamaged: newer schema, unknown or missing key, wrong type or value; names `source`.
        """
        schema = values.get("schema")
        if type(schema) is int and schema > RECORD_SCHEMA:
            raise StudyDamaged(
                f"{source}: schema {schema} is newer than {RECORD_SCHEMA}, which this version reads; upgrade"
            )
        known = {item.name for item in dataclasses.fields(cls)}
        for problem, names in (("unknown", values.keys() - known), ("missing", known - values.keys())):
            if names:
                raise StudyDamaged(f"{source}: {problem} key {', '.join(sorted(map(repr, names)))}")
        try:
            return cls(**values)
        except ConfigError as error:
            raise StudyDamaged(f"{source}: {error}") from error


def one_line(text: str, limit: int = 2000) -> str:
    """`text` as one printable line: no terminal escapes, control, invisible or direction-changing characters.

    Args:
        text: anything, e.g. the message of a foreign exception.
        limit: characters kept, >= 1; a longer text ends in "…".
    """
    visible = "".join(_visible(character) for character in _ESCAPES.sub("", text))
    line = " ".join(visible.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def utc_now() -> str:
    """The present moment as records write it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


_LEAVES = frozenset((str, int, bool, type(None)))
_MAPPINGS = ("params", "config", "metrics", "violations", "checks", "worker", "versions")
_STAGE_KEYS = {"name", "key", "seconds", "cached"}
_STAGE_TIMES = ("seconds", "cpu_seconds", "gpu_seconds")
# ECMA-48: CSI sequences, then strings (OSC, DCS, PM, APC, SOS) up to their terminator, then two-byte escapes.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]"
)


def _plain(where: tuple[Any, ...], value: Any) -> Any:
    """`value` as JSON would give it back; `where` is the way to it, spelt out only in an error.

    Thousands of records are read at a resume, so the types that JSON gives are told first and by identity.
    """
    kind = type(value)
    if kind in _LEAVES or (kind is float and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"a key of {_spelt(where)} must be a text, got {one_line(repr(key), 200)}")
        return {key: _plain((*where, key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain((*where, index), item) for index, item in enumerate(value)]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    wanted = "finite number" if isinstance(value, Real) else "plain JSON value"
    raise ConfigError(f"{_spelt(where)} must be a {wanted}, got {one_line(repr(value), 200)}")


def _spelt(where: tuple[Any, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")


def _check_identity(record: Record) -> None:
    _demand(
        type(record.schema) is int and 1 <= record.schema <= RECORD_SCHEMA,
        "schema",
        record.schema,
        f"1 to {RECORD_SCHEMA}",
    )
    _demand(type(record.number) is int and record.number >= BASELINE_NUMBER, "number", record.number, ">= -1")
    _demand(type(record.attempt) is int and record.attempt >= 1, "attempt", record.attempt, "at least 1")
    _demand(record.status in STATUSES, "status", record.status, " or ".join(STATUSES))
    _demand(type(record.latency_trusted) is bool, "latency_trusted", record.latency_trusted, "true or false")
    _demand(isinstance(record.protocol, str), "protocol", record.protocol, "a text")
    for name in ("started_at", "finished_at"):
        _demand(_is_utc(getattr(record, name)), name, getattr(record, name), "an ISO 8601 time in UTC")
    _demand(_stays_inside(record.artifact), "artifact", record.artifact, "a folder relative to the study")


def _check_stage(stage: dict[str, Any]) -> None:
    known = _STAGE_KEYS <= stage.keys() <= _STAGE_KEYS | {*_STAGE_TIMES, "lost"}
    _demand(known, "stages", stage, f"of {', '.join(sorted(_STAGE_KEYS))}")
    _demand(
        isinstance(stage["name"], str) and isinstance(stage["key"], str), "stages", stage, "named by text"
    )
    for name in _STAGE_TIMES:
        seconds = stage.get(name, 0)
        _demand(_is_number(seconds) and seconds >= 0, f"stages.{name}", seconds, "at least 0")
    for name in ("cached", "lost"):
        _demand(type(stage.get(name, False)) is bool, f"stages.{name}", stage.get(name), "true or false")


def _clean_error(error: Any) -> dict[str, str] | None:
    if error is None:
        return None
    fits = isinstance(error, dict) and error.keys() == {"kind", "message"}
    _demand(fits and all(isinstance(text, str) for text in error.values()), "error", error,
            "None or {kind, message}")  # fmt: skip
    return {"kind": one_line(error["kind"], 100), "message": one_line(error["message"])}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_utc(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return datetime.fromisoformat(value).utcoffset() == timedelta(0)
    except ValueError:
        return False


def _stays_inside(folder: Any) -> bool:
    if not isinstance(folder, str):
        return folder is None
    path = PurePosixPath(folder)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp", "Zs"):
        return " "
    if category == "Cf":
        return ""
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _demand(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {wanted}, got {one_line(repr(value), 200)}")
