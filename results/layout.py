"""Where everything lies in a study folder (docs/record-format.md)."""

import re
from pathlib import Path

from reid.errors import ConfigError
from results.record import BASELINE_NUMBER

__all__ = [
    "artifact_folder",
    "cache_folder",
    "definition_path",
    "fact_path",
    "is_temporary",
    "lock_path",
    "log_path",
    "numbers_with_fact",
    "record_path",
    "record_paths",
    "started_path",
    "started_paths",
    "table_path",
    "trials_folder",
    "work_folder",
]


def definition_path(study: Path) -> Path:
    """`study.json`: what was asked."""
    return study / "study.json"


def lock_path(study: Path) -> Path:
    """`study.lock`: held by the driver."""
    return study / "study.lock"


def table_path(study: Path) -> Path:
    """`trials.parquet`: the records as one table."""
    return study / "trials.parquet"


def trials_folder(study: Path) -> Path:
    """`trials/`: the records and what else is known about trials."""
    return study / "trials"


def cache_folder(study: Path) -> Path:
    """`cache/`: stages by content."""
    return study / "cache"


def work_folder(study: Path, number: int, attempt: int) -> Path:
    """`work/000012-1/`: where one attempt of a trial writes before anything of it is committed."""
    return study / "work" / f"{_stem(number)}-{attempt}"


def artifact_folder(study: Path, number: int) -> Path:
    """`artifacts/000012/`, or `artifacts/baseline/`."""
    return study / "artifacts" / _stem(number)


def record_path(study: Path, number: int) -> Path:
    """`trials/000012.json`, or `trials/baseline.json`."""
    return trials_folder(study) / f"{_stem(number)}.json"


def started_path(study: Path, number: int) -> Path:
    """`trials/000012.started.json`: begun and not committed."""
    return trials_folder(study) / f"{_stem(number)}.started.json"


def fact_path(study: Path, number: int, kind: str) -> Path:
    """`trials/000012.KIND.json`: a later fact about a committed trial.

    Raises:
        ConfigError: `kind` is not made of lower-case letters, or is taken.
    """
    if not re.fullmatch("[a-z]{1,40}", kind) or kind == "started":
        raise ConfigError(f"kind of a fact must be lower-case letters and not 'started', got {kind!r}")
    return trials_folder(study) / f"{_stem(number)}.{kind}.json"


def numbers_with_fact(study: Path, kind: str) -> frozenset[int]:
    """Numbers of the trials that have a fact of this kind, the baseline's left out."""
    pattern = re.compile(rf"(\d{{6,}})\.{kind}\.json")
    return frozenset(_numbered(study, pattern))


def record_paths(study: Path) -> dict[int, Path]:
    """Number -> file of every record but the baseline's, in order of number."""
    return _numbered(study, _RECORD)


def started_paths(study: Path) -> dict[int, Path]:
    """Number -> file of every begun trial but the baseline, in order of number."""
    return _numbered(study, _STARTED)


def log_path(study: Path, number: int, attempt: int) -> Path:
    """`trials/logs/000012-1.log`: what one attempt of a trial printed and said."""
    return trials_folder(study) / "logs" / f"{_stem(number)}-{attempt}.log"


def is_temporary(name: str) -> bool:
    """Whether a file name is one of those of `reid.files.temporary_beside`."""
    return name.startswith(".") and ".tmp" in name


_RECORD = re.compile(r"(\d{6,})\.json")
_STARTED = re.compile(r"(\d{6,})\.started\.json")


def _numbered(study: Path, pattern: re.Pattern[str]) -> dict[int, Path]:
    found = {}
    for path in trials_folder(study).glob("[0-9]*.json"):
        match = pattern.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def _stem(number: int) -> str:
    return "baseline" if number == BASELINE_NUMBER else f"{number:06d}"
