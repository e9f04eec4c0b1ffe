import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError
from results.front import as_gains, pareto_front

BOTH = ["maximize", "minimize"]


def by_definition(values: Sequence[Sequence[float]], directions: Sequence[str]) -> list[bool]:
    """The front straight from its definition, O(N²)."""

    def beats(a: Sequence[float], b: Sequence[float]) -> bool:
        pairs = [(x, y) if d == "maximize" else (-x, -y) for x, y, d in zip(a, b, directions, strict=True)]
        return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)

    known = [not any(math.isnan(x) for x in row) for row in values]
    return [
        known[i] and not any(known[j] and beats(values[j], values[i]) for j in range(len(values)))
        for i in range(len(values))
    ]


# Few distinct values, so that ties, duplicates, signed zeros, infinities and NaN meet often.
awkward = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, float("inf"), float("-inf"), float("nan")])


@st.composite
def clouds(draw: st.DrawFn) -> tuple[list[list[float]], list[str]]:
    count = draw(st.integers(1, 4))
    point = st.lists(awkward | st.floats(-5, 5), min_size=count, max_size=count)
    direction = st.sampled_from(BOTH)
    return draw(st.lists(point, max_size=30)), draw(st.lists(direction, min_size=count, max_size=count))


@given(cloud=clouds())
def test_equals_the_definition(cloud: tuple[list[list[float]], list[str]]) -> None:
    values, directions = cloud
    assert pareto_front(values, directions).tolist() == by_definition(values, directions)


@pytest.mark.parametrize("objectives", [2, 3])
def test_m11_equals_the_definition_on_200_random_sets(objectives: int) -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        values = random.integers(0, 12, (40, objectives)).astype(float)
        values[random.random(values.shape) < 0.02] = np.nan
        directions = random.choice(BOTH, objectives).tolist()
        assert pareto_front(values, directions).tolist() == by_definition(values.tolist(), directions)


def test_equal_points_are_all_kept() -> None:
    values = [[0.7, 5.0], [0.7, 5.0], [0.7, 6.0], [0.8, 9.0], [0.8, 9.0]]
    assert pareto_front(values, BOTH).tolist() == [True, True, False, True, True]


def test_nan_is_never_on_the_front_and_beats_nothing() -> None:
    nan = float("nan")
    assert pareto_front([[nan, 0.0], [0.5, nan], [0.1, 9.0]], BOTH).tolist() == [False, False, True]


def test_infinities_are_values() -> None:
    inf = float("inf")
    assert pareto_front([[inf, 5.0], [0.9, 5.0], [0.1, -inf], [-inf, inf]], BOTH).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_no_points() -> None:
    front = pareto_front([], BOTH)
    assert front.shape == (0,)
    assert front.dtype == np.bool_


@given(cloud=clouds(), data=st.data())
def test_order_of_points_does_not_matter(
    cloud: tuple[list[list[float]], list[str]], data: st.DataObject
) -> None:
    values, directions = cloud
    shuffled = data.draw(st.permutations(range(len(values))))
    front = pareto_front(values, directions)
    assert pareto_front([values[i] for i in shuffled], directions).tolist() == [front[i] for i in shuffled]


@pytest.mark.parametrize("shape", ["random", "all on the front", "all equal"])
def test_a_million_points(shape: str) -> None:
    values = np.random.default_rng(0).random((1_000_000, 2))
    if shape == "all on the front":
        values[:, 1] = values[:, 0]
    elif shape == "all equal":
        values[:] = 1.0
    front = pareto_front(values, BOTH)
    assert front.all() == (shape != "random")


@pytest.mark.parametrize(
    ("values", "directions"),
    [
        ([[1.0, 2.0]], ["maximize"]),
        ([[1.0, 2.0]], ["up", "minimize"]),
        ([1.0, 2.0], BOTH),
        ([[1.0]], []),
    ],
)
def test_misfits_are_refused(values: Any, directions: list[str]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        pareto_front(values, directions)


def test_gains_know_one_zero_only() -> None:
    assert np.signbit(as_gains([[0.0, 0.0], [-0.0, -0.0]], BOTH)).sum() == 0
