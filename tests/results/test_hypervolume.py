import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from optuna._hypervolume import compute_hypervolume  # tests only: no room of ours imports it

from reid.errors import ConfigError
from results.hypervolume import hypervolume

BOTH = ["maximize", "minimize"]


def by_counting(points: NDArray[np.int64]) -> int:
    """Unit cells covered by the boxes [0, p] of integer points."""
    sizes = [range(int(size)) for size in points.max(axis=0)]
    return sum(bool((points > np.array(cell)).all(axis=1).any()) for cell in itertools.product(*sizes))


def test_a_staircase_by_hand() -> None:
    # From (0, 10): a box of 0.5 x 8 and one of 0.8 x 5, which share 0.5 x 5.
    assert hypervolume([[0.5, 2.0], [0.8, 5.0]], BOTH, [0.0, 10.0]) == pytest.approx(4.0 + 4.0 - 2.5)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_equals_counted_cells(objectives: int) -> None:
    random = np.random.default_rng(objectives)
    for _ in range(20):
        points = random.integers(1, 6, (random.integers(1, 9), objectives))
        measured = hypervolume(points, ["maximize"] * objectives, np.zeros(objectives))
        assert measured == pytest.approx(by_counting(points))


@pytest.mark.parametrize(("objectives", "count"), [(2, 200), (3, 60), (4, 25)])
def test_equals_optuna(objectives: int, count: int) -> None:
    random = np.random.default_rng(objectives)
    for _ in range(5):
        losses = random.random((count, objectives)) * 1.2
        expected = compute_hypervolume(losses[(losses < 1).all(axis=1)], np.ones(objectives))
        assert hypervolume(losses, ["minimize"] * objectives, np.ones(objectives)) == pytest.approx(expected)


@given(
    points=st.lists(st.tuples(*[st.floats(-1, 2)] * 3), max_size=8),
    more=st.tuples(*[st.floats(-1, 2)] * 3),
)
def test_another_point_never_takes_volume_away(
    points: list[tuple[float, ...]], more: tuple[float, ...]
) -> None:
    directions = ["maximize", "minimize", "maximize"]
    before = hypervolume(points, directions, [0.0, 1.0, 0.0])
    after = hypervolume([*points, more], directions, [0.0, 1.0, 0.0])
    assert after >= before - 1e-12
    assert hypervolume([*points, more, more], directions, [0.0, 1.0, 0.0]) == pytest.approx(after)


@given(scale=st.floats(0.01, 100), points=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=8))
def test_scales_with_an_objective(scale: float, points: list[tuple[float, float]]) -> None:
    scaled = [(accuracy, scale * cost) for accuracy, cost in points]
    volume = hypervolume(points, BOTH, [0.0, 1.0])
    assert hypervolume(scaled, BOTH, [0.0, scale]) == pytest.approx(scale * volume, abs=1e-12)


# Coarse, so that duplicates, shared coordinates and the reference's own value meet often.
heights = st.integers(-1, 4).map(float) | st.sampled_from([math.nan, -math.inf])


@given(data=st.data(), objectives=st.integers(2, 4))
def test_equals_counted_cells_whatever_comes(data: st.DataObject, objectives: int) -> None:
    point = st.lists(heights, min_size=objectives, max_size=objectives)
    points = data.draw(st.lists(point, max_size=10))
    directions = data.draw(st.lists(st.sampled_from(BOTH), min_size=objectives, max_size=objectives))
    signs = [1.0 if direction == "maximize" else -1.0 for direction in directions]
    counting = np.array([p for p in points if all(height > 0 for height in p)]).reshape(-1, objectives)
    expected = by_counting(counting.astype(np.int64)) if len(counting) else 0
    signed = [[sign * height for sign, height in zip(signs, p, strict=True)] for p in points]
    assert hypervolume(signed, directions, np.zeros(objectives)) == pytest.approx(expected)


@pytest.mark.parametrize("objectives", [2, 3])
def test_a_front_of_ten_thousand(objectives: int) -> None:
    points = np.abs(np.random.default_rng(0).normal(size=(10_000, objectives)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    volume = hypervolume(points, ["maximize"] * objectives, np.zeros(objectives))
    # The points lie on the sphere: the volume is nearly that of its positive part.
    assert volume == pytest.approx({2: math.pi / 4, 3: math.pi / 6}[objectives], rel=0.02)


def test_what_is_not_better_than_the_reference_adds_nothing() -> None:
    worthless = [[0.0, 1.0], [0.9, 10.0], [-0.1, 1.0], [math.nan, 1.0], [0.9, math.nan], [0.9, math.inf]]
    assert hypervolume(worthless, BOTH, [0.0, 10.0]) == 0.0
    assert hypervolume([*worthless, [0.5, 8.0]], BOTH, [0.0, 10.0]) == pytest.approx(1.0)
    assert hypervolume([], BOTH, [0.0, 10.0]) == 0.0


def test_an_infinitely_good_point_covers_everything() -> None:
    assert hypervolume([[0.5, -math.inf]], BOTH, [0.0, 10.0]) == math.inf


@pytest.mark.parametrize("reference", [[0.0], [0.0, math.inf], [0.0, math.nan], [0.0, 1.0, 2.0]])
def test_a_wrong_reference_is_refused(reference: list[float]) -> None:
    with pytest.raises(ConfigError):
        hypervolume([[0.5, 8.0]], BOTH, reference)
