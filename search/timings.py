"""Latencies that `bench` took on another machine, as further facts about a study's trials."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reid.errors import ConfigError
from reid.files import read_json
from reid.runtime import model_file
from results import commit_fact
from results.layout import artifact_folder, numbers_with_fact
from results.manifest import committed_files
from results.record import BASELINE_NUMBER, Record
from results.study import Study
from search.figures import figure_text

__all__ = ["Merged", "merge_timings", "timing_metric", "with_timings"]

_SHARED = ("target", "host", "cpu", "timed_at")
_OF_MACHINE = ("host", "cpu", "target", "runtime")
_OF_PACKAGE = ("runtime", "model_sha256", "latency_ms", "samples_ms")


@dataclass(frozen=True, slots=True)
class Merged:
    """What a file of timings brought.

    Attributes:
        name: of the machine, as `front --target` takes it.
        added: numbers of the trials that got a figure.
        present: numbers of those that had the very same one.
        shown: whether any of them is on the front, so that `front --target` shows it.
        off_front: a line for each that is not.
    """

    name: str
    added: tuple[int, ...]
    present: tuple[int, ...]
    shown: bool
    off_front: tuple[str, ...]


def merge_timings(study: Study, file: Path, name: str | None = None) -> Merged:
    """Commit the figures of a file beside the trials whose networks were timed; all of them are checked first.

    Args:
        study: the packages were picked from it; networks are told by the hash of their file.
        file: what `bench --json` printed of packages on one runtime.
        name: of the machine, 1 to 30 lower-case letters; by default the letters of its host name.

    Raises:
        ConfigError: the file is no such answer, its timing is not trusted, a network is not of this study or stands
            twice, or a trial has another figure of that name already, or one of another machine or runtime.
        UnverifiedError: the artifact of such a trial is altered, or a manifest cannot be read.
            Nothing is written in either case.
    """
    answer = _read(file)
    name = _named(name if name is not None else "".join(re.findall("[a-z]", answer["host"].lower()))[:30])
    numbers = _numbers(study)
    facts: dict[int, dict[str, Any]] = {}
    for package in answer["packages"]:
        if package["model_sha256"] not in numbers:
            raise ConfigError(
                f"{file}: {package['package']} is not of the study {study.path}: no trial has its network "
                f"(sha256 {package['model_sha256'][:12]}); time packages as pick made them"
            )
        fact = {key: answer[key] for key in _SHARED} | {key: package[key] for key in _OF_PACKAGE}
        for number in numbers[package["model_sha256"]]:
            if number in facts:
                raise ConfigError(
                    f"{file}: {package['package']} and another of its packages hold the network of trial {number}; "
                    "time one of them"
                )
            facts[number] = fact
    for number in facts:
        study.artifact(number)
    _demand_one_machine(study, name, list(facts.values()))
    before = {number: study.fact(number, _kind(name)) for number in facts}
    for number, fact in facts.items():
        if before[number] not in (None, fact):
            raise ConfigError(
                f"trial {number} has another timing named {name!r} already, and facts are never rewritten; "
                "give --name another name"
            )
    added = tuple(number for number in sorted(facts) if before[number] is None)
    for number in added:
        commit_fact(study, number, _kind(name), facts[number])
    off_front = facts.keys() - {record.number for record in study.front()}
    return Merged(
        name,
        added,
        present=tuple(sorted(facts.keys() - set(added))),
        shown=off_front != facts.keys(),
        off_front=tuple(_off_front(number, facts[number]) for number in sorted(off_front)),
    )


def with_timings(study: Study, records: Sequence[Record], name: str) -> list[Record]:
    """The records with a merged latency as one more metric, where there is one.

    Raises:
        ConfigError: none of them was timed under that name; tells the figures of trials off the front.
    """
    kind = _kind(_named(name))
    found = {record.number: study.fact(record.number, kind) for record in records}
    if not any(found.values()):
        others = {
            number: study.fact(number, kind)
            for number in (BASELINE_NUMBER, *sorted(numbers_with_fact(study.path, kind)))
        }
        told = [_off_front(number, fact) for number, fact in others.items() if fact]
        hint = "; ".join(told) or "merge one with add-timings"
        raise ConfigError(f"no trial of the front has a timing named {name!r}; {hint}")
    return [_with(record, found[record.number], name) for record in records]


def timing_metric(name: str) -> str:
    """Name under which `front` shows the latency on a machine."""
    return f"latency_{name}_ms"


def _with(record: Record, fact: Mapping[str, Any] | None, name: str) -> Record:
    if fact is None:
        return record
    return replace(record, metrics={**record.metrics, timing_metric(name): fact["latency_ms"]})


def _off_front(number: int, fact: Mapping[str, Any]) -> str:
    who = "the baseline" if number == BASELINE_NUMBER else f"trial {number}"
    return f"{who}, not on the front, takes {figure_text('latency_ms', fact['latency_ms'])}"


def _kind(name: str) -> str:
    return f"timing{name}"


def _named(name: str) -> str:
    if not re.fullmatch("[a-z]{1,30}", name):
        raise ConfigError(f"name of a machine must be 1 to 30 lower-case letters, got {name!r}; give --name")
    return name


def _demand_one_machine(study: Study, name: str, facts: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a name that stands for another machine, or for another runtime, threads or batch, at any trial.

    Raises:
        ConfigError: it does, or the new facts differ among themselves.
    """
    given = facts[0]
    for fact in facts:
        if fact["runtime"] != given["runtime"]:
            raise ConfigError(
                f"the packages were timed on {given['runtime']} and {fact['runtime']}; time those of each runtime by "
                "themselves, and give each a --name of its own"
            )
    for record in (*study.records(), *([study.baseline] if study.baseline else [])):
        known = study.fact(record.number, _kind(name)) or given
        if differing := [key for key in _OF_MACHINE if known[key] != given[key]]:
            raise ConfigError(
                f"{name!r} names timings of another {' and '.join(differing)} already (trial {record.number}: "
                f"{', '.join(str(known[key]) for key in differing)}); give --name another name"
            )


def _numbers(study: Study) -> dict[str, list[int]]:
    """Hash of a network's file, as it was committed -> numbers of the trials, or the baseline, that have it."""
    found: dict[str, list[int]] = {}
    discarded = study.discarded()
    for record in (*study.records(), *([study.baseline] if study.baseline else [])):
        if record.artifact is not None and record.number not in discarded:
            file = model_file(artifact_folder(study.path, record.number))
            if entry := committed_files(file.parent).get(file.name):
                found.setdefault(str(entry["sha256"]), []).append(record.number)
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        answer = read_json(file)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"{file} is no JSON; give what bench --json printed") from error
    if not _is_answer(answer):
        raise ConfigError(f"{file} is not what bench --json of this version prints; time the packages again")
    if answer["trusted"] is not True:
        raise ConfigError(
            f"{file}: the timing is not trusted ({answer.get('reason')}); time again on a quiet machine"
        )
    return dict(answer)


def _is_answer(answer: Any) -> bool:
    if not isinstance(answer, dict) or not {*_SHARED, "trusted", "packages"} <= answer.keys():
        return False
    packages = answer["packages"]
    return (
        isinstance(answer["host"], str)
        and isinstance(packages, list)
        and bool(packages)
        and all(isinstance(one, dict) and _is_package(one) for one in packages)
    )


def _is_package(one: Mapping[str, Any]) -> bool:
    latency = one.get("latency_ms")
    return (
        {*_OF_PACKAGE, "package"} <= one.keys()
        and isinstance(one["model_sha256"], str)
        and isinstance(latency, float)
        and 0 < latency < float("inf")
    )
