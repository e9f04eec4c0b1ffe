"""From a space and chosen values to the configuration of a trial."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reid.config import Limit, Target, TrialConfig, reject_unknown
from reid.errors import ConfigError
from spaces import LimitText, Parameter, Space, parse_space

__all__ = [
    "FOOTPRINT_METRICS",
    "METRICS",
    "absolute_limits",
    "baseline_config",
    "check_space",
    "check_space_names",
    "first_point",
    "override",
    "resolve_limits",
    "trial_config",
]

METRICS = (
    "mAP", "mAP_trapezoid", "rank1", "rank5", "rank10", "latency_ms", "latency_p10_ms", "latency_p90_ms",
    "latency_ratio", "throughput_per_s", "size_bytes", "macs", "params",
)  # fmt: skip
"""Figures that a trial measures and that objectives and limits may name."""

FOOTPRINT_METRICS = (
    "cold_start_ms", "peak_memory_mb", "throughput_1_per_s", "throughput_8_per_s", "throughput_32_per_s",
)  # fmt: skip
"""Figures that a trial measures where `footprint` is set."""

_BASELINE = {"method": "none", "quantization": "fp32"}
_OWN_KEYS = ("dataset", "target")
_SPLIT = ("seed", "validation_share")
_BUDGETS = ("latency_budget", "macs_budget")
FILE_SETTINGS = ("weights", "teacher", "teacher_spec")
_DENSE = "dense"


def trial_config(space: Space, values: Mapping[str, Any], seed: int = 0) -> TrialConfig:
    """The configuration of one point of a space.

    Args:
        space: gives the fixed settings, the dataset and the target.
        values: searched parameters and any other settings; they go before the fixed ones.
        seed: of everything random, unless the space fixes one.

    Raises:
        ConfigError: unknown setting, or a value that it cannot have; names it.
    """
    settings = {"seed": seed, **space.fixed, "dataset": space.dataset, "target": space.target, **values}
    for name in FILE_SETTINGS:
        if isinstance(value := settings.get(name), str):
            settings[name] = _absolute(value)
    return TrialConfig.from_dict(settings)


def baseline_config(space: Space, seed: int = 0) -> TrialConfig:
    """The dense fp32 network of a study, at the largest input size that the space may search.

    Other searched choices take their first value, ranges what lies nearest to the setting's default, and other
    settings their default.
    """
    defaults = TrialConfig().to_dict()
    values = space.point(lambda name: _in_baseline(name, space.parameters[name], defaults.get(name)))
    given = {name: value for name, value in values.items() if value is not None}
    return trial_config(space, {**given, **_BASELINE}, seed)


def _in_baseline(name: str, parameter: Parameter, default: Any) -> Any:
    """The value of a searched setting in the baseline; None is that the setting has where it is not given."""
    if name in _BASELINE:
        return _BASELINE[name]
    if parameter.choice is None:
        low, high = parameter.bounds or (0.0, 0.0)
        return None if default is None else min(max(default, low), high)
    if name == "input_size":
        return max(parameter.choice, key=lambda size: size[0] * size[1])
    return parameter.choice[0]


def first_point(space: Space) -> dict[str, Any]:
    """The point at the lower end of every range and the first of every choice."""
    return space.point(lambda name: _ends(space.parameters[name])[0])


def override(space: Space, settings: Mapping[str, Any]) -> Space:
    """The space with some settings fixed to other values; a searched parameter among them is searched no more.

    Args:
        space: stays as it is.
        settings: by name; `dataset` and `target` replace those of the space.

    Raises:
        ConfigError: a setting is unknown.
    """
    if not settings:
        return space
    reject_unknown(settings, TrialConfig.names(), "setting")
    values = space.to_dict()
    for name in _OWN_KEYS:
        if name in settings:
            values[name] = settings[name]
    if isinstance(values.get("target"), str):
        values["target"] = {"runtime": values["target"]}
    values["fixed"] = {**values.get("fixed", {}), **{n: v for n, v in settings.items() if n not in _OWN_KEYS}}
    values["parameters"] = {n: p for n, p in values["parameters"].items() if n not in settings}
    return parse_space(values, f"space {space.name} with --set")


def check_space(space: Space) -> None:
    """Refuse a space whose names or values cannot make a trial, before anything runs.

    Raises:
        ConfigError: names the key, and where one is near, the one that was meant.
    """
    for place, names in (("fixed", space.fixed), ("parameters", space.parameters)):
        for name in names:
            if name in _OWN_KEYS:
                raise ConfigError(f"{name} is a key of its own in a space file, not one of {place}")
        reject_unknown(names, TrialConfig.names(), f"name in {place} of space {space.name}:")
    if split := next((name for name in _SPLIT if name in space.parameters), None):
        raise ConfigError(
            f"{split} decides who the validation identities are, and trials judged on different ones do not "
            "compare; put it under fixed"
        )
    budget = next((name for name in _BUDGETS if space.fixed.get(name) is not None), None)
    if budget and "prune_rate" in space.parameters:
        raise ConfigError(
            f"prune_rate is searched but has no effect beside a fixed {budget}; search {budget} in its place"
        )
    if "teacher_views" in space.parameters and not _may_be(space, "teacher_view", "drawn"):
        raise ConfigError(
            "teacher_views is searched but has no effect unless teacher_view is drawn; set teacher_view: drawn under "
            "fixed or leave teacher_views out"
        )
    _check_conditions(space)
    Target.from_dict(space.target)
    known = (*METRICS, *FOOTPRINT_METRICS)
    reject_unknown(space.objectives, known, f"objective of space {space.name}:")
    for limit in space.parsed_limits():
        reject_unknown([limit.metric], known, f"metric in limit {limit.text!r} of space {space.name}:")
    named = [*space.objectives, *(limit.metric for limit in space.parsed_limits())]
    if space.fixed.get("footprint") is not True and (
        costly := next((name for name in named if name in FOOTPRINT_METRICS), None)
    ):
        raise ConfigError(f"{costly} of space {space.name} is measured with footprint: true under fixed only")
    for config in _corners(space):
        trial_config(space, config)


def _check_conditions(space: Space) -> None:
    for name, parameter in space.parameters.items():
        for other, value in parameter.when.items():
            if other in space.parameters and not space.parameters[other].contains(value):
                raise ConfigError(
                    f"parameters.{name}.when of space {space.name} asks for {other}: {value}, which {other} never is"
                )


def _may_be(space: Space, name: str, value: Any) -> bool:
    """Whether a setting has a value in some trial."""
    if name in space.parameters:
        return space.parameters[name].contains(value)
    return bool(space.fixed.get(name) == value)


def check_space_names(space: Space) -> None:
    """Refuse a backbone, method, scheme, loss, runtime or dataset that this installation does not know.

    Apart from `check_space` because it loads torch.

    Raises:
        ConfigError: names the setting and the known names.
    """
    from reid.registries import check_names

    for config in _corners(space):
        check_names(trial_config(space, config))


def absolute_limits(space: Space) -> tuple[Limit, ...]:
    """The limits of a space that need no baseline."""
    found = (limit.resolve({}) for limit in space.parsed_limits() if not limit.relative)
    return tuple(Limit(metric=metric, operator=operator, value=value) for metric, operator, value in found)


def resolve_limits(limits: Iterable[LimitText], baseline: Mapping[str, float]) -> tuple[Limit, ...]:
    """Limits in absolute terms.

    Args:
        limits: of a space.
        baseline: figures of the dense baseline.

    Raises:
        ConfigError: a relative limit names a figure that the baseline does not have.
    """
    resolved = (limit.resolve(baseline) for limit in limits)
    return tuple(Limit(metric=metric, operator=operator, value=value) for metric, operator, value in resolved)


def _absolute(value: str) -> str:
    """The file or folder meant, wherever a worker runs; a name such as "imagenet" or "dense" as it is."""
    path = Path(value).expanduser()
    return str(path.resolve()) if path.is_file() or (path.is_dir() and value != _DENSE) else value


def _ends(parameter: Parameter) -> tuple[Any, ...]:
    return parameter.choice or parameter.bounds or ()


def _corners(space: Space) -> Iterator[dict[str, Any]]:
    """Points that between them take every choice and both ends of every range, wherever these are searched."""
    ends = {name: _ends(parameter) for name, parameter in space.parameters.items()}
    for row in range(max(map(len, ends.values()))):
        yield space.point(lambda name, row=row: ends[name][row if row < len(ends[name]) else 0])  # type: ignore[misc]
    for name, parameter in space.parameters.items():
        for end in ends[name] if parameter.when else ():
            wanted = {**_conditions(space, name), name: end}
            yield space.point(lambda other, wanted=wanted: wanted.get(other, ends[other][0]))  # type: ignore[misc]


def _conditions(space: Space, name: str) -> dict[str, Any]:
    """What other parameters must be for this one to be searched."""
    found: dict[str, Any] = {}
    for other, value in space.parameters[name].when.items():
        if other in space.parameters:
            found |= {**_conditions(space, other), other: value}
    return found
