"""From a worker's answer to the record that is committed."""

import functools
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Literal

from reid.config import Limit, broken
from reid.errors import ConfigError
from results import Record
from search.jobs import Answer, Job
from search.ledger import gpus_held, spent_by, with_gpu_seconds

__all__ = ["Begun", "library_versions", "record_of"]

_LIBRARIES = ("reid-pareto", "torch", "ray", "optuna", "onnxruntime", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A trial that is running.

    Attributes:
        job: what the worker was given.
        params: searched parameters; empty for the baseline.
        config: all settings.
        started_at: ISO 8601, UTC.
        retries: how often it was begun again after a failure that may pass.
        smaller: setting -> (value asked for, value used), where it is run again in less memory.
        gpus: share of GPUs that it was given; None is one, where there are any.
    """

    job: Job
    params: dict[str, Any]
    config: dict[str, Any]
    started_at: str
    retries: int = 0
    smaller: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    gpus: float | None = None


def library_versions() -> dict[str, str]:
    """Versions of the libraries that matter to a trial."""
    return dict(_versions())


@functools.cache  # reading them takes longer than committing a record
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, version) for name in _LIBRARIES if (version := _version(name)) is not None)


def _version(name: str) -> str | None:
    # What one imports as onnxruntime may be installed as onnxruntime-gpu.
    for distribution in (name, f"{name}-gpu"):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
    return None


def record_of(
    begun: Begun,
    answer: Answer,
    *,
    status: Literal["failed", "infeasible"],
    finished_at: str,
    objectives: Sequence[str],
    limits: Sequence[Limit],
) -> Record:
    """The record of a trial.

    An outcome that is not what a trial may return makes a failed trial of kind "bad_metric" (a figure that is
    missing, no number, or not finite) or "bad_outcome"; it never makes an exception.

    Args:
        begun: the trial.
        answer: of the worker.
        status: "failed" or "infeasible" where the answer is an error; ignored otherwise.
        finished_at: ISO 8601, UTC.
        objectives: metrics that a complete trial must have.
        limits: of the study; a figure that breaks one makes the trial infeasible.
    """
    known: dict[str, Any] = {
        "number": begun.job.number, "attempt": begun.job.attempt, "params": begun.params,
        "config": begun.config, "started_at": begun.started_at, "finished_at": finished_at,
        "worker": answer.worker, "versions": library_versions(),
    }  # fmt: skip
    gpus = gpus_held(begun.gpus, answer.worker)
    spent: dict[str, Any] = {"stages": with_gpu_seconds(spent_by(begun.job), gpus)}
    if answer.error is not None:
        return Record(**known, **spent, status=status, error=answer.error)
    outcome = answer.outcome or {}
    problem = _bad_metric(outcome, objectives)
    if problem is not None:
        return Record(**known, **spent, status="failed", error={"kind": "bad_metric", "message": problem})
    try:
        facts = _facts(outcome, limits)
        before = begun.job.payload.get("spent_before", ())
        facts["stages"] = with_gpu_seconds([*before, *facts["stages"]], gpus)
        if begun.smaller:
            changes = {name: list(values) for name, values in begun.smaller.items()}
            facts["checks"] = {**facts["checks"], "smaller": changes}
        return Record(**known, **facts)
    except (ConfigError, TypeError, AttributeError, KeyError, ValueError) as error:
        message = f"{type(error).__name__}: {error}"
        return Record(**known, **spent, status="failed", error={"kind": "bad_outcome", "message": message})


def _facts(outcome: Mapping[str, Any], limits: Sequence[Limit]) -> dict[str, Any]:
    metrics, trusted = dict(outcome["metrics"]), outcome.get("latency_trusted", False)
    violations = {**outcome.get("violations", {}), **broken(limits, metrics, trusted=trusted)}
    return {
        # The accuracy of a stopped trial is not its last, so it cannot be said to break a limit on it.
        "status": "infeasible" if violations and outcome["status"] != "stopped" else outcome["status"],
        "metrics": metrics,
        "latency_trusted": trusted,
        "violations": violations,
        "stages": outcome.get("stages", []),
        "curves": outcome.get("curves", []),
        "checks": {**outcome.get("checks", {}), "latency": outcome.get("latency", {})},
        "protocol": outcome.get("protocol", ""),
    }


def _bad_metric(outcome: Mapping[str, Any], objectives: Sequence[str]) -> str | None:
    metrics = outcome.get("metrics")
    if not isinstance(metrics, Mapping):
        return f"metrics must be a mapping, got {type(metrics).__name__}"
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{name} must be a number, got {type(value).__name__}"
        if not math.isfinite(value):
            return f"{name} must be finite, got {value}"
    missing = [name for name in objectives if name not in metrics]
    if missing and outcome.get("status") == "complete":
        return f"{', '.join(missing)} was not measured"
    return None
