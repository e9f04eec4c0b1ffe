"""Accuracy, latency and cost of every point of a space, interpolated from trials that really ran."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from reid.errors import ConfigError
from reid.files import read_json

__all__ = ["TABLES", "Landscape", "load_landscape"]

TABLES = ("market-osnet",)
"""Names of the tables shipped with the project."""

_SHAPING = ("prune_rate", "input_size", "quantization")
# How filters are chosen and decayed does not change the shapes that are left, nor therefore the latency.

_KEYS = {"space", "source", "epochs", "seconds", "baseline", "trials"}
_RIDGE = 1e-3
_NUGGET = 0.05
_LENGTH = 0.7
_LEAST_MAP, _MOST_MAP = 0.01, 0.99
_LEARNING_EPOCHS = 0.35
_FIRST_SHARE = 0.25

_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """A table of trials, and what lies between them.

    mAP (as a logit) and latency (as a logarithm) are each a plane through the trials, fitted by ridge regression,
    plus a Gaussian-kernel interpolation of what the plane misses: at a trial of the table the landscape is close
    to what was measured, and far from all trials it follows the trend.

    Attributes:
        space: name of the space that the trials are points of.
        source: where they come from, in words.
        epochs: training epochs of one trial, >= 1.
        seconds: wall time of one trial.
        baseline: {"mAP", "latency_ms"} of the dense network.
        trials: {"params", "mAP", "latency_ms"} of each; every trial has the same parameters.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, section 2.7 (a linear model with a
    process for its residuals).
    """

    space: str
    source: str
    epochs: int
    seconds: float
    baseline: dict[str, float]
    trials: Sequence[dict[str, Any]]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: object = "landscape") -> Self:
        """Build from the content of a table file.

        Raises:
            ConfigError: a key is missing or unknown, there are fewer than three trials, or a figure is no number;
                names `source`.
        """
        if (keys := set(values)) != _KEYS:
            raise ConfigError(f"{source}: keys must be {sorted(_KEYS)}, got {sorted(keys)}")
        trials = values["trials"]
        if len(trials) < 3:
            raise ConfigError(f"{source}: needs at least 3 trials")
        for row in (values["baseline"], *trials):
            if not (0 <= row["mAP"] <= 1 and 0 < row["latency_ms"] < math.inf):
                raise ConfigError(f"{source}: mAP must be 0 to 1 and latency_ms above 0, got {row}")
        if not (values["epochs"] >= 1 and values["seconds"] > 0):
            raise ConfigError(f"{source}: epochs must be at least 1 and seconds above 0")
        return cls(**values)

    def figures(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Accuracy (mAP, a fraction) and latency_ms at the end of a trial.

        Raises:
            ConfigError: a parameter of the table is missing.
        """
        every, shaping = self._features(params), self._features(params, _SHAPING)
        return {
            "mAP": _map_of(self._accuracy.at(every)),
            "latency_ms": math.exp(self._log_latency.at(shaping)),
        }

    def map_after(self, params: Mapping[str, Any], epoch: int) -> float:
        """Validation mAP after so many epochs: a saturating exponential that ends at the final mAP.

        Stronger pruning starts lower and takes longer, as its weights have more to recover.

        Args:
            params: of the trial.
            epoch: 1 to `epochs`.

        Source: Domhan, Springenberg, Hutter, Speeding up automatic hyperparameter optimization by extrapolation of
        learning curves, IJCAI 2015, table 1 (the family of curves).
        """
        final = self.figures(params)["mAP"]
        rate = float(params.get("prune_rate", 0.0))
        scale = _LEARNING_EPOCHS * self.epochs * (0.5 + rate)
        missing = math.exp(-epoch / scale) - math.exp(-self.epochs / scale)
        return final * (1 - (1 - _FIRST_SHARE) * (0.5 + rate) * max(0.0, missing))

    @cached_property
    def _coding(self) -> dict[str, Any]:
        names = dict.fromkeys(name for trial in self.trials for name in trial["params"])
        return {name: _code([trial["params"].get(name) for trial in self.trials]) for name in names}

    @cached_property
    def _conditional(self) -> frozenset[str]:
        """Parameters that some trials of the table do not have."""
        return frozenset(
            name for name in self._coding for trial in self.trials if trial["params"].get(name) is None
        )

    @cached_property
    def _accuracy(self) -> "_Fit":
        points = np.array([self._features(trial["params"]) for trial in self.trials])
        return _Fit.through(points, np.array([_logit(trial["mAP"]) for trial in self.trials]))

    @cached_property
    def _log_latency(self) -> "_Fit":
        points = np.array([self._features(trial["params"], _SHAPING) for trial in self.trials])
        return _Fit.through(points, np.array([math.log(trial["latency_ms"]) for trial in self.trials]))

    def _features(self, params: Mapping[str, Any], only: Sequence[str] | None = None) -> _Floats:
        missing = sorted(set(self._coding) - set(params) - self._conditional)
        if missing:
            raise ConfigError(f"the landscape of {self.space} needs {', '.join(missing)}")
        parts = [
            _encode(code, params.get(name), name)
            for name, code in self._coding.items()
            if not only or name in only
        ]
        return np.array([1.0, *(value for part in parts for value in part)])


@dataclass(frozen=True, slots=True)
class _Fit:
    points: _Floats
    plane: _Floats
    weights: _Floats

    @classmethod
    def through(cls, points: _Floats, values: _Floats) -> "_Fit":
        # NumPy types what `solve` returns by the widest float, not by its arguments.
        penalty = _RIDGE * len(points) * np.eye(points.shape[1])
        penalty[0, 0] = 0.0
        plane: _Floats = np.asarray(
            np.linalg.solve(points.T @ points + penalty, points.T @ values), np.float64
        )
        kernel = _kernel(points, points) + _NUGGET * np.eye(len(points))
        weights: _Floats = np.asarray(np.linalg.solve(kernel, values - points @ plane), np.float64)
        return cls(points, plane, weights)

    def at(self, point: _Floats) -> float:
        return float(point @ self.plane + (_kernel(point[None], self.points) @ self.weights)[0])


def load_landscape(name_or_path: str | Path) -> Landscape:
    """Load a table by its name in `TABLES` or the path of a JSON file that benchmarks/landscape.py wrote.

    Raises:
        ConfigError: there is no such table, or it is damaged; names it.
    """
    if str(name_or_path) in TABLES:
        text = (resources.files("search.simulator") / "tables" / f"{name_or_path}.json").read_text("utf-8")
        return Landscape.from_dict(json.loads(text), name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        raise ConfigError(f"no landscape {name_or_path}; known are {', '.join(TABLES)}, or give a JSON file")
    try:
        return Landscape.from_dict(read_json(path), path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no landscape: {error}") from error


def _code(values: list[Any]) -> list[str] | tuple[float, float]:
    """Names of categories, or centre and half width of a range; trials without the parameter count for nothing."""
    known = [value for value in values if value is not None]
    if not known or isinstance(known[0], str | bool):
        return sorted({json.dumps(value) for value in known})
    numbers = [_number(value) for value in known]
    return (max(numbers) + min(numbers)) / 2, max((max(numbers) - min(numbers)) / 2, 1e-9)


def _encode(code: list[str] | tuple[float, float], value: Any, name: str) -> list[float]:
    if value is None:
        # Where the parameter has no meaning: the middle of its range, none of its categories.
        return [0.0] * (1 if isinstance(code, tuple) else max(len(code) - 1, 0))
    if isinstance(code, tuple):
        return [(_number(value) - code[0]) / code[1]]
    if json.dumps(value) not in code:
        raise ConfigError(f"the landscape has no trial with {name}={value!r}; known are {', '.join(code)}")
    return [float(json.dumps(value) == known) for known in code[1:]]


def _number(value: Any) -> float:
    """An image size by the logarithm of its pixels, which accuracy and latency follow."""
    return math.log(math.prod(value)) if isinstance(value, list | tuple) else float(value)


def _kernel(first: _Floats, second: _Floats) -> _Floats:
    squared = ((first[:, None] - second[None]) ** 2).sum(axis=2)
    result: _Floats = np.exp(-squared / (2 * _LENGTH**2 * first.shape[1]))
    return result


def _logit(share: float) -> float:
    inside = min(max(share, _LEAST_MAP), _MOST_MAP)
    return math.log(inside / (1 - inside))


def _map_of(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
