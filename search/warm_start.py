"""What a new study learns from finished ones: their trials, told to the sampler before the first question.

The observations are copied into `study.json`, so that a study resumes alike whatever becomes of the others. They are no
records of the new study: they take no part in its front and count for nothing in its budget.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reid.config import Limit, TrialConfig
from reid.errors import ConfigError
from results import Record, Study
from search.feedback import Told, tell_of
from search.opening import Data
from search.planner import first_point, trial_config
from spaces import Space, parse_limit

__all__ = ["Warm", "observations", "params_of", "told_before"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """What finished studies gave.

    Attributes:
        taken: {"params", "status", "metrics", "latency_trusted"} of each trial, as `study.json` holds it.
        skipped: trials that do not lie in the space, or failed.
    """

    taken: tuple[dict[str, Any], ...]
    skipped: int


def observations(studies: Sequence[Study], space: Space, data: Data) -> Warm:
    """The trials of finished studies that are points of a space.

    A trial is one if all that the space fixes was so in the trial, and every searched setting has a value there that
    the space holds, whether the other study searched it or fixed it.

    Args:
        studies: to learn from, in this order.
        space: of the new study.
        data: of the new study.

    Raises:
        ConfigError: a study has other objectives, another target or other images; names it.
    """
    taken: list[dict[str, Any]] = []
    skipped = 0
    # Settings of the space alone may not go together: what is searched may have no default that fits.
    whole = trial_config(space, first_point(space)).to_dict()
    fixed = {name: whole[name] for name in space.fixed}
    for study in studies:
        _demand_comparable(study, space, data)
        limited = {parse_limit(text).metric for text in study.definition["limits"]}
        for record in study.records():
            params = None if record.status == "failed" else params_of(record, space, fixed)
            if params is None:
                skipped += 1
                continue
            taken.append(
                {
                    "params": params,
                    "status": _status(record, limited),
                    "metrics": dict(record.metrics),
                    "latency_trusted": record.latency_trusted,
                }
            )
    return Warm(taken=tuple(taken), skipped=skipped)


def told_before(
    taken: Sequence[Mapping[str, Any]], objectives: Sequence[str], limits: Sequence[Limit]
) -> list[Told]:
    """The observations of `study.json` in the sampler's terms, by the limits of the new study.

    A trial that ended early on a limit of its own study, before all objectives were measured, is left out where it
    breaks none of the new ones: nobody knows how good it is.
    """
    moment = "2000-01-01T00:00:00.000+00:00"
    records = (
        Record(
            number=number, status=one["status"], params=one["params"], config={}, metrics=one["metrics"],
            latency_trusted=one.get("latency_trusted", False), started_at=moment, finished_at=moment,
        )
        for number, one in enumerate(taken)
    )  # fmt: skip
    told = (tell_of(record, objectives, limits) for record in records)
    return [one for one in told if one.values.keys() >= set(objectives) or max(one.constraints.values()) > 0]


def _demand_comparable(study: Study, space: Space, data: Data) -> None:
    asked = study.definition
    for key, theirs, ours in (
        ("objectives", asked["objectives"], dict(space.objectives)),
        ("target", asked["target"], dict(space.target)),
        ("files of the dataset", asked["dataset"]["fingerprint"], data.fingerprint),
    ):
        if theirs != ours:
            raise ConfigError(
                f"--warm-start {study.path} has {key} {theirs!r}, not {ours!r}; its figures do not compare"
            )


def _status(record: Record, limited: Collection[str]) -> str:
    """The record's, but for one that broke nothing but limits of its study: those of the new one are what counts.

    Args:
        record: of the other study.
        limited: metrics on which that study had limits.
    """
    broken = [text for text, excess in record.violations.items() if excess > 0]
    only_limits = broken and all(parse_limit(text).metric in limited for text in broken)
    return "complete" if record.status == "infeasible" and only_limits else record.status


def params_of(record: Record, space: Space, fixed: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record's values of what the space searches, or None where it is no point of it.

    Args:
        record: of another study.
        space: of the new one.
        fixed: what the space fixes, as a record's configuration has it.
    """
    # A record is silent about settings that came after it; then they were as they are by default.
    settings = {**TrialConfig().to_dict(), **record.config, **record.params}
    for name, value in fixed.items():
        if name in settings and json.dumps(settings[name]) != json.dumps(value):
            return None
    params = space.point(settings.get)
    held = all(name in settings and space.parameters[name].contains(params[name]) for name in params)
    return params if held else None
