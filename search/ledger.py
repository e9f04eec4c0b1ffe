"""What attempts cost that came to nothing: rows as records hold them, from the last sign that each attempt gave."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from results import Study
from results.layout import work_folder
from search.jobs import Job, Sign

__all__ = ["Rows", "gpus_held", "spent_before_resuming", "spent_by", "with_gpu_seconds"]

Rows = Sequence[Mapping[str, Any]]
"""Stages as records hold them."""


def spent_by(job: Job) -> Rows:
    """Stages of a job's attempts until its last sign, those of earlier attempts first.

    A stage that was being computed is marked lost: its finished epochs may serve the next attempt, so what is lost is
    that much at most. An attempt that was over before its first sign gives what came before it.
    """
    return _spent(job.sign_of_life) or job.payload.get("spent_before", ())


def spent_before_resuming(study: Study) -> dict[int, Rows]:
    """The same of each interrupted trial of a study, by number; read it before work folders are removed."""
    notes = replace(study, salvage=True).started()
    folders = {note.number: work_folder(study.path, note.number, note.attempt) for note in notes}
    return {number: _spent(folder / Job.SIGN) for number, folder in folders.items()}


def gpus_held(given: float | None, worker: Mapping[str, Any]) -> float:
    """GPUs that a trial held, as a share.

    Args:
        given: what was asked for each trial; None is one, where there are any.
        worker: where it ran.
    """
    if "device" not in worker:
        return given or 0.0  # A worker that was lost has not said where it ran.
    if worker["device"] == "cpu":
        return 0.0
    return 1.0 if given is None else given


def with_gpu_seconds(stages: Rows, gpus: float) -> list[dict[str, Any]]:
    """`stages` with the time that their share of GPUs was held; taking a stage from the cache counts too."""
    if not gpus:
        return [dict(stage) for stage in stages]
    return [{"gpu_seconds": stage["seconds"] * gpus, **stage} for stage in stages]


def _spent(sign_of_life: Path) -> Rows:
    sign = Sign.read(sign_of_life)
    return [] if sign is None else list(_rows(sign))


def _rows(sign: Sign) -> Iterable[dict[str, Any]]:
    yield from sign.spent
    if sign.stage:
        yield {"name": sign.stage, "key": "", "seconds": sign.stage_s, "cached": False, "lost": True}
