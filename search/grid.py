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
    """

    def __init__(self, space: Space, seed: int) -> None:
        points = list(_points(space).items())
        random.Random(seed).shuffle(points)
        self._points = dict(points)
        self._waiting = iter(points)
        self._tried: set[str] = set()

    def leave_out(self, tried: Iterable[Mapping[str, Any]]) -> int:
        """Ask none of these; how many points of the grid are left."""
        self._tried.update(_key(params) for params in tried)
        return len(self._points.keys() - self._tried)

    def ask(self, number: int) -> dict[str, Any]:
        """Parameters of trial `number`: the first point that was not tried.

        Raises:
            ConfigError: all were.
        """
        for key, point in self._waiting:
            if key not in self._tried:
                self._tried.add(key)
                return dict(point)
        raise ConfigError(f"the grid of this space has {len(self._points)} points; lower --trials to that")

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


def _points(space: Space) -> dict[str, dict[str, Any]]:
    axes = {name: _values(space.parameters[name]) for name in space.in_order()}
    points = (
        space.point(dict(zip(axes, values, strict=True)).__getitem__)
        for values in itertools.product(*axes.values())
    )
    return {_key(point): point for point in points}


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
