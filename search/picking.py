"""From wishes to a package: choose, measure again, pack. What `pick` and the review page both do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reid.data.archive import pack
from reid.errors import NoDevice
from results.layout import artifact_folder
from results.package import build_package, demand_new, figures_on_test
from results.pick import Choice
from results.pick import pick as choose
from results.record import Record
from results.reference import Embed
from results.study import Study
from search.packages import embedder
from search.recheck import Rechecked, dataset_at_hand, recheck

__all__ = ["Picked", "Wishes", "describe", "pick_package"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user asks for; nothing asks for the knee.

    Attributes:
        maximum: metric -> largest value.
        minimum: metric -> smallest value.
        max_drop: accuracy -> largest loss against the baseline.
        trial: number of the trial, in place of limits.
    """

    maximum: Mapping[str, float] = field(default_factory=dict)
    minimum: Mapping[str, float] = field(default_factory=dict)
    max_drop: Mapping[str, float] = field(default_factory=dict)
    trial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """A package and how it came about.

    Attributes:
        choice: the packaged trial.
        rechecked: what was measured at the pick, or None.
        unchecked: why nothing was measured, or empty.
        test: figures of the packaged trial on the test split, of now or of before; empty where it was never
            evaluated there.
        package: its folder.
        zipped: its zip file, or None.
    """

    choice: Choice
    rechecked: Rechecked | None
    unchecked: str
    test: Mapping[str, float]
    package: Path
    zipped: Path | None


def pick_package(
    study: Study,
    wishes: Wishes,
    out: Path | Callable[[Record], Path],
    *,
    data: Path | None = None,
    check: bool = True,
    zipped: bool = False,
    say: Callable[[str], None],
) -> Picked:
    """Choose a trial and package it.

    Args:
        study: read side of the study.
        wishes: what is asked for.
        out: folder to make, or what names it once the trial is known.
        data: the prepared dataset, where it is no longer where the study was run.
        check: measure the candidates again before packaging.
        zipped: also write the folder as `<out>.zip`.
        say: told one line at each step.

    Raises:
        ConfigError: a wish that makes no sense, `out` exists, or there is no folder `data`.
        NothingFeasible: no trial is within the limits.
        UnverifiedError: an artifact is altered.
    """
    if isinstance(out, Path):
        _must_be_new(out, zipped)
    root = dataset_at_hand(study, data)
    choice = choose(
        study,
        maximum=wishes.maximum,
        minimum=wishes.minimum,
        max_drop=wishes.max_drop,
        trial=wishes.trial,
    )
    rechecked, unchecked = _recheck(study, choice, root, check, say)
    choice = rechecked.settled.choice if rechecked else choice
    folder = out if isinstance(out, Path) else out(choice.record)
    _must_be_new(folder, zipped)
    number = choice.record.number
    test = rechecked.tests[number] if rechecked else figures_on_test(study.test_record(number))
    build_package(study, choice.record, folder, embed=_embedder(study, choice.record))
    return Picked(
        choice=choice,
        rechecked=rechecked,
        unchecked=unchecked,
        test=test,
        package=folder,
        zipped=pack(folder, _zip_of(folder)) if zipped else None,
    )


def describe(picked: Picked) -> dict[str, Any]:
    """A pick as plain JSON values."""
    choice, found = picked.choice, picked.rechecked
    return {
        "trial": choice.record.number,
        "reason": choice.reason,
        "metrics": choice.record.metrics,
        "params": choice.record.params,
        "runners_up": [
            {"trial": runner.record.number, "trade": runner.trade, "metrics": runner.record.metrics}
            for runner in choice.runners_up
        ],
        "prices": [{"limit": p.wish, "trial": p.record.number, "gain": p.gain} for p in choice.prices],
        "offers": [
            {"given": o.given, "step": o.step, "trial": o.record.number, "gain": o.gain}
            for o in choice.offers
        ],
        "checked": found is not None,
        "unchecked": picked.unchecked,
        "candidates": _candidates(found) if found else [],
        "protocol": choice.record.protocol,
        "test": dict(picked.test) or None,
        "doubts": list(found.doubts) if found else [],
        "package": str(picked.package),
        "zip": None if picked.zipped is None else str(picked.zipped),
    }


def _candidates(found: Rechecked) -> list[dict[str, Any]]:
    return [
        {
            "trial": one.record.number,
            "latency_ms": one.latency_ms,
            "ratio": one.ratio.to_dict(),
            "mAP_difference": one.difference.to_dict(),
            "test": dict(found.tests[one.record.number]),
            "tied": one.tied,
            "broken": one.broken,
        }
        for one in found.settled.standings
    ]


def _recheck(
    study: Study, choice: Choice, root: Path | None, check: bool, say: Callable[[str], None]
) -> tuple[Rechecked | None, str]:
    if not check:
        return None, "nothing was timed again or evaluated, as asked"
    if root is None:
        gone = study.definition["dataset"].get("root", "an unknown folder")
        return None, (
            f"nothing was timed again or evaluated: the dataset is not at {gone}; say with --data where it is"
        )
    try:
        return recheck(study, choice, root, say), ""
    except NoDevice as error:
        return None, f"nothing was timed again or evaluated: this machine lacks the study's target ({error})"


def _must_be_new(out: Path, zipped: bool) -> None:
    for path in (out, *([_zip_of(out)] if zipped else [])):
        demand_new(path)


def _zip_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.zip")


def _embedder(study: Study, record: Record) -> Embed:
    # Opened at the call, which comes after the hashes of the artifact were checked; on the runtime that will verify
    # the package, whatever the study timed on.
    return embedder(artifact_folder(study.path, record.number))
