"""The points of a regular grid over a space."""

import itertools
import json
import math
import random
from collections.abc import Iterable, Mapping
from typing import Any

from reid.errors import ConfigError
from search.feedback import Told
from spaces import Parameter, Space

__all__ = ["GRID_POINTS", "Grid"]

GRID_POINTS = 5
"""Points taken from a range, both ends included; an integer range with fewer values gives all of them."""


class Grid:
    """Asks every point of the grid once, in an order shuffled by the seed.

    What a study has tried already, under another sampler or in a narrower space, is not asked again.

    Attributes:
        capacity: number of points.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._points = _points(space)
        random.Random(seed).shuffle(self._points)
        self.capacity: int | None = len(self._points)
        self._tried: set[str] = set()

    def ask(self, number: int) -> dict[str, Any]:
        """Parameters of trial `number`: the first point that was not tried.

        Raises:
            ConfigError: all were.
        """
        point = next((one for one in self._points if _key(one) not in self._tried), None)
        if point is None:
            raise ConfigError(
                f"the grid of this space has {len(self._points)} points; lower --trials to that"
            )
        self._tried.add(_key(point))
        return dict(point)

    def adopt(self, number: int, params: Mapping[str, Any]) -> None:
        """Take `params` as tried."""
        self._tried.add(_key(params))

    def tell(self, told: Told) -> None:
        """Nothing to do: a grid does not learn."""

    def rebuild(self, trials: Iterable[Told]) -> None:
        """Take the points of earlier trials as tried."""
        self._tried.update(_key(told.params) for told in trials)


def _key(point: Mapping[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


def _points(space: Space) -> list[dict[str, Any]]:
    names = space.in_order()
    unique: dict[str, dict[str, Any]] = {}
    for values in itertools.product(*(_values(space.parameters[name]) for name in names)):
        point: dict[str, Any] = {}
        for name, value in zip(names, values, strict=True):
            if space.active(name, point):
                point[name] = value
        unique.setdefault(_key(point), point)
    return list(unique.values())


def _values(parameter: Parameter) -> list[Any]:
    if parameter.choice is not None:
        return list(parameter.choice)
    low, high = parameter.bounds or (0.0, 0.0)
    if parameter.int_range is not None and high - low < GRID_POINTS:
        return list(range(int(low), int(high) + 1))
    steps = [step / (GRID_POINTS - 1) for step in range(1, GRID_POINTS - 1)]
    between = [
        low * (high / low) ** s if parameter.log else math.fsum((low, (high - low) * s)) for s in steps
    ]
    values = [low, *between, high]
    return sorted({round(value) for value in values}) if parameter.int_range is not None else values
