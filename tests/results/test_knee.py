import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.knee import knee_order

DIRECTIONS = ("maximize", "minimize")


def chord_distances(accuracy: list[float], latency: list[float]) -> list[float]:
    """Signed distances to the line through the two ends, by the cross product, in normalised coordinates."""
    x = np.log(latency)
    x = (x - x.min()) / (x.max() - x.min())
    y = np.array(accuracy)
    y = (y - y.min()) / (y.max() - y.min())
    # Both rise; two latencies may be one after scaling.
    start, end = 0, len(x) - 1
    ex, ey = x[end] - x[start], y[end] - y[start]
    return list((ex * (y - y[start]) - ey * (x - x[start])) / np.hypot(ex, ey))


def test_knee_of_a_bent_front() -> None:
    values = np.array([[0.55, 2.5], [0.74, 3.0], [0.78, 5.0], [0.80, 8.0]])
    assert knee_order(values, DIRECTIONS)[0] == 1


def test_latency_counts_by_ratio() -> None:
    # On a straight scale 8 ms is nearly as fast as 1 ms next to 100 ms; by ratio 2 ms is the bend.
    values = np.array([[0.1, 1.0], [0.6, 2.0], [0.8, 8.0], [0.9, 100.0]])
    assert knee_order(values, DIRECTIONS)[0] == 1
    assert knee_order(values, ("maximize", "maximize"))[0] != 1


@given(
    st.lists(
        st.tuples(st.floats(0.01, 0.99), st.floats(0.1, 100)),
        min_size=3,
        max_size=20,
        unique_by=(lambda p: p[0], lambda p: p[1]),
    )
)
def test_agrees_with_the_distance_to_the_chord(points: list[tuple[float, float]]) -> None:
    accuracy = sorted(p[0] for p in points)
    latency = sorted(p[1] for p in points)
    distances = chord_distances(accuracy, latency)
    order = knee_order(np.column_stack((accuracy, latency)), DIRECTIONS)
    assert sorted(order) == list(range(len(points)))
    assert distances[order[0]] == pytest.approx(max(distances), abs=1e-9)
    assert all(distances[a] >= distances[b] - 1e-9 for a, b in itertools.pairwise(order))


def test_ends_alone_give_the_more_accurate() -> None:
    assert list(knee_order(np.array([[0.5, 1.0], [0.9, 4.0]]), DIRECTIONS)) == [1, 0]


def test_one_point_and_equal_points_keep_their_order() -> None:
    assert list(knee_order(np.array([[0.5, 1.0]]), DIRECTIONS)) == [0]
    assert list(knee_order(np.array([[0.5, 1.0]] * 3), DIRECTIONS)) == [0, 1, 2]


def test_costs_at_zero_are_taken_as_they_are() -> None:
    values = np.array([[0.2, 0.0], [0.9, 1.0], [1.0, 10.0]])
    assert knee_order(values, DIRECTIONS)[0] == 1


def test_three_objectives() -> None:
    values = np.array([[1.0, 100.0, 100.0], [0.0, 1.0, 100.0], [0.0, 100.0, 1.0], [0.8, 10.0, 10.0]])
    assert knee_order(values, ("maximize", "minimize", "minimize"))[0] == 3
