"""Opens the study that a search goes on with, or makes a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.errors import ConfigError, StudyDamaged
from reid.files import sha256_of
from reid.plugins import code_of, is_dotted_path
from results import Record, Started, Study, create_study, open_study
from results.layout import definition_path
from results.store import check_place
from search.planner import FILE_SETTINGS
from search.records import library_versions
from spaces import Parameter, Space, parse_space

__all__ = ["Data", "check_begun", "check_dataset", "check_fits", "open_or_create"]

PROTOCOL = (
    "single query, on validation identities held out of training; the test split for picks and evaluate only"
)

_EVALUATED = "--scheduler asha sets it to --grace-epochs: give both as when it was begun, or "


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The dataset of a study.

    Attributes:
        name: key in `reid.data.DATASETS`.
        root: prepared folder.
        fingerprint: of its files.
    """

    name: str
    root: Path
    fingerprint: str


def open_or_create(
    path: Path,
    space: Space,
    data: Data,
    *,
    seed: int | None,
    sampler: str | None,
    warm_start: Sequence[Mapping[str, Any]] = (),
) -> Study:
    """Open the study at `path`, or create it where there is none.

    Args:
        path: its folder; the caller holds its lock.
        space: what is to be searched.
        data: the dataset.
        seed: None takes the study's own, 0 for a new study.
        sampler: None takes the study's own, "tpe" for a new study.
        warm_start: observations of other studies, for a new study only.

    Raises:
        ConfigError: the study asks for something else; names the setting.
        StudyDamaged: its definition cannot be read.
    """
    if not definition_path(path).exists():
        learnt = {"warm_start": [dict(one) for one in warm_start]} if warm_start else {}
        return create_study(path, _definition(space, data, seed or 0, sampler or "tpe") | learnt)
    study = open_study(path)
    _check_warm(study, warm_start)
    _check_same(study, space, data, seed)
    return study


def check_dataset(space: Space, data: Data) -> None:
    """Refuse a dataset that the space is not for.

    Raises:
        ConfigError: names both.
    """
    if data.name != space.dataset:
        raise ConfigError(
            f"space {space.name} is for dataset {space.dataset}, but {data.root} holds {data.name}; "
            f"--set dataset={data.name} takes it all the same"
        )


def check_begun(
    path: Path,
    space: Space,
    data: Data,
    seed: int | None,
    warm_start: Sequence[Mapping[str, Any]] = (),
) -> Study | None:
    """Refuse what does not fit the study at `path`, if one was begun there, and a place where none can be.

    Returns:
        That study, or None.

    Raises:
        ConfigError: names the setting, the trial, or what lies there.
        ResourceError: the place cannot be looked into.
        StudyDamaged: the study cannot be read.
    """
    check_place(path)
    if not definition_path(path).exists():
        return None
    study = open_study(path)
    _check_warm(study, warm_start)
    _check_same(study, space, data, seed)
    check_fits(space, study.records(), study.started())
    return study


def check_fits(space: Space, records: list[Record], started: tuple[Started, ...]) -> None:
    """Refuse a space that does not hold every trial that the study has.

    Raises:
        ConfigError: names the trial and the parameter.
    """
    trials: list[Record | Started] = [*records, *started]
    for trial in trials:
        for name, value in trial.params.items():
            parameter = space.parameters.get(name)
            if parameter is None or not parameter.contains(value):
                raise ConfigError(
                    f"trial {trial.number} of the study has {name}={value!r}, which the space does not hold; "
                    f"widen parameters.{name} or name a new study"
                )


def _definition(space: Space, data: Data, seed: int, sampler: str) -> dict[str, Any]:
    return {
        "name": space.name,
        "space": space.to_dict(),
        "dataset": {"name": data.name, "root": str(data.root), "fingerprint": data.fingerprint},
        "objectives": dict(space.objectives),
        "limits": list(space.limits),
        "target": dict(space.target),
        "protocol": PROTOCOL,
        "reference_point": None,
        "seed": seed,
        "sampler": sampler,
        "versions": library_versions(),
        **({"code": code} if (code := _code_of(space)) else {}),
        **({"files": files} if (files := _files_of(space)) else {}),
    }


def _code_of(space: Space) -> dict[str, str]:
    """What tells versions of the user's own networks apart, by their names."""
    names = _values_of(space, ("backbone", "teacher_backbone"))
    return {name: code_of(name, "backbone") for name in names if is_dotted_path(name)}


def _files_of(space: Space) -> dict[str, str]:
    """SHA-256 of the weights and teachers that the space names, as far as they are files here."""
    files: dict[str, str] = {}
    for name in _values_of(space, FILE_SETTINGS):
        path = Path(name).expanduser()
        # The weights of an OpenVINO file lie beside it.
        for file in (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,):
            if file.is_file():
                files[name if file == path else f"{name} ({file.suffix})"] = sha256_of(file)
    return files


def _values_of(space: Space, settings: Sequence[str]) -> list[str]:
    names = set()
    for setting in settings:
        searched = space.parameters.get(setting)
        names |= {space.fixed.get(setting), *((searched and searched.choice) or ())}
    return sorted(name for name in names if isinstance(name, str))


def _check_warm(study: Study, warm_start: Sequence[Mapping[str, Any]]) -> None:
    if warm_start and [dict(one) for one in warm_start] != study.definition.get("warm_start"):
        raise ConfigError(
            f"{study.path} was begun without these observations of --warm-start; leave it out, or name a new study"
        )


def _check_same(study: Study, space: Space, data: Data, seed: int | None) -> None:
    asked = study.definition
    try:
        old = parse_space(asked["space"], f"{study.path}/study.json")
    except ConfigError as error:
        raise StudyDamaged(str(error)) from error
    for key in ("dataset", "target", "limits", "objectives"):
        _demand(study, key, getattr(old, key), getattr(space, key))
    for name in sorted({*old.fixed, *space.fixed}):
        hint = _EVALUATED if name == "validate_every" else ""
        _demand(study, f"fixed.{name}", old.fixed.get(name), space.fixed.get(name), hint)
    _check_parameters(study, old.parameters, space.parameters)
    for key, now, change in (
        ("code", _code_of(space), "the file of {} has changed since {} was begun"),
        ("files", _files_of(space), "{} is another file than when {} was begun"),
    ):
        for name, before in asked.get(key, {}).items():
            if now.get(name, before) != before:
                raise ConfigError(
                    f"{change.format(name, study.path)}, and its trials would not compare; bring that file back, or "
                    "name a new study"
                )
    _demand(study, "files of the dataset", asked["dataset"]["fingerprint"], data.fingerprint)
    if seed is not None:
        _demand(study, "seed", asked["seed"], seed)


def _check_parameters(study: Study, old: Mapping[str, Parameter], new: Mapping[str, Parameter]) -> None:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before is None or after is None:
            _demand(study, f"parameters.{name}", before and "searched", after and "searched")
        elif not _widens(before, after):
            _demand(study, f"parameters.{name}", _text(before), _text(after), "only wider is possible; ")


def _widens(before: Parameter, after: Parameter) -> bool:
    if (before.log, before.when) != (after.log, after.when):
        return False
    if before.choice is not None:
        return after.choice is not None and all(after.contains(value) for value in before.choice)
    same_kind = (before.int_range is None) == (after.int_range is None) and after.choice is None
    if not same_kind or before.bounds is None or after.bounds is None:
        return False
    return after.bounds[0] <= before.bounds[0] and before.bounds[1] <= after.bounds[1]


def _text(parameter: Parameter) -> dict[str, Any]:
    return parameter.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _demand(study: Study, key: str, before: object, after: object, hint: str = "") -> None:
    if before != after:
        raise ConfigError(
            f"{study.path} was begun with {key} {before!r}, not {after!r}; {hint}name a new study"
        )
