"""Against values of the published code, and against a loop that starts over after each filter."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import ArtifactError, ConfigError
from reid.prune import bafd_local_ranking, bafd_selection
from reid.prune.selection import filter_distances
from tests.reid.prune.golden import golden_cases, golden_weight


def plain_distances(weight: np.ndarray) -> np.ndarray:
    rows = np.asarray(weight, np.float64).reshape(len(weight), -1)
    return np.array([[math.dist(one, other) for other in rows] for one in rows])


def plain_removal(
    distances: np.ndarray, knn: int, count: int, largest: bool
) -> tuple[list[int], list[float]]:
    sign = -1 if largest else 1
    left, removed, powers = list(range(len(distances))), [], []
    for _ in range(count):
        power = {i: math.fsum(sorted(distances[i, j] for j in left)[:knn]) for i in left}
        extreme = (max if largest else min)(power.values())
        tied = [i for i in left if abs(power[i] - extreme) <= 1e-8 + 1e-5 * abs(extreme)]
        total = {i: sign * math.fsum(distances[i, j] for j in left) for i in tied}
        least = min(total.values())
        gone = next(i for i in tied if total[i] <= least + 1e-10 * abs(least))
        left.remove(gone)
        removed.append(gone)
        powers.append(power[gone])
    return removed, powers


def plain_selection(weight: np.ndarray, knn: int, rate: float, efficient: bool) -> list[int]:
    distances = plain_distances(weight)
    size, gone = len(distances), math.floor(len(distances) * rate)
    if knn >= size - gone:
        sums = [round(math.fsum(row), 9) for row in distances]
        return sorted(sorted(range(size), key=sums.__getitem__)[:gone])
    if efficient and rate > 0.5:
        return sorted(set(range(size)) - set(plain_removal(distances, knn, size - gone, True)[0]))
    return sorted(plain_removal(distances, knn, gone, False)[0])


@st.composite
def layers(draw: st.DrawFn) -> np.ndarray:
    """Layers with copies of filters, zeroed filters and any scale."""
    size, inputs = draw(st.integers(1, 16)), draw(st.integers(2, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weight = random.standard_normal((size, inputs, 2, 2))
    position = st.integers(0, size - 1)
    for target, source in draw(st.lists(st.tuples(position, position), max_size=4)):
        weight[target] = weight[source]
    weight[draw(st.lists(position, max_size=3))] = 0
    return (weight * 2.0 ** draw(st.integers(-6, 6))).astype(np.float32)


@pytest.mark.parametrize("case", golden_cases("bafd_selection"))
def test_selection_is_that_of_the_published_code(case: dict[str, Any]) -> None:
    decayed = bafd_selection(golden_weight(case), case["knn"], case["rate"], case["efficient"])
    assert decayed.tolist() == case["decayed"]
    assert decayed.dtype == np.int64


@pytest.mark.parametrize("case", golden_cases("bafd_local_ranking"))
def test_ranking_is_that_of_the_published_code(case: dict[str, Any]) -> None:
    scores = bafd_local_ranking(golden_weight(case), case["knn"])
    np.testing.assert_allclose(scores, case["scores"], atol=1e-6)


@pytest.mark.parametrize("case", golden_cases("other_selection"))
def test_summed_distance_decides_where_no_neighbourhood_is_left(case: dict[str, Any]) -> None:
    everyone = case["shape"][0]
    assert bafd_selection(golden_weight(case), everyone, case["rate"], True).tolist() == case["fpgm"]


@settings(max_examples=300)
@given(layers(), st.integers(1, 7), st.floats(0, 0.999), st.booleans())
def test_selection_equals_the_plain_loop(weight: np.ndarray, knn: int, rate: float, efficient: bool) -> None:
    decayed = bafd_selection(weight, knn, rate, efficient).tolist()
    assert decayed == plain_selection(weight, knn, rate, efficient)
    assert len(decayed) == math.floor(len(weight) * rate) < len(weight)


@settings(max_examples=200)
@given(layers(), st.integers(1, 7))
def test_ranking_equals_the_plain_loop(weight: np.ndarray, knn: int) -> None:
    distances = plain_distances(weight)
    removed, scores = plain_removal(distances, knn, max(len(weight) - knn, 0), False)
    last = [i for i in range(len(weight)) if i not in removed]
    scores += [math.fsum(distances[i, last]) for i in last]
    norm = math.hypot(*scores)
    expected = [score / norm for score in scores] if norm else scores
    np.testing.assert_allclose(bafd_local_ranking(weight, knn), expected, atol=1e-10)


@pytest.mark.parametrize("efficient", [False, True])
@pytest.mark.parametrize("knn", [2, 4])
def test_a_real_layer_equals_the_plain_loop(knn: int, efficient: bool) -> None:
    weight = np.random.default_rng(0).standard_normal((48, 64, 3, 3)).astype(np.float32)
    chosen = bafd_selection(weight, knn, 0.7, efficient)
    assert chosen.tolist() == plain_selection(weight, knn, 0.7, efficient)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_order_of_filters_does_not_matter(seed: int, efficient: bool) -> None:
    random = np.random.default_rng(seed)
    weight, order = random.standard_normal((20, 12)), random.permutation(20)
    plain, shuffled = (bafd_selection(w, 3, 0.6, efficient) for w in (weight, weight[order]))
    # The closest pair ties exactly; which of the two goes first is told by the rest, never by position.
    assert sorted(order[shuffled]) == plain.tolist()


@settings(max_examples=100)
@given(layers())
def test_distances(weight: np.ndarray) -> None:
    distances = filter_distances(weight)
    np.testing.assert_allclose(distances, plain_distances(weight), rtol=1e-9, atol=0)
    assert (distances == distances.T).all()


def test_nearly_equal_filters_keep_their_distance() -> None:
    weight = np.zeros((3, 1000))
    weight[:] = np.random.default_rng(0).standard_normal(1000) * 1e3
    weight[1, 0] += 1e-6
    assert filter_distances(weight)[0, 1] == pytest.approx(1e-6, rel=1e-3)
    assert filter_distances(weight)[0, 2] == 0


def test_tensors_of_any_kind_are_taken() -> None:
    weight = torch.randn(12, 4, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    half = weight.to(torch.bfloat16)
    assert bafd_selection(weight, 2, 0.5, True).tolist() == plain_selection(
        weight.detach().numpy(), 2, 0.5, True
    )
    expected = plain_selection(half.detach().float().numpy(), 2, 0.5, True)
    assert bafd_selection(half, 2, 0.5, True).tolist() == expected


@pytest.mark.parametrize("rate", [-0.1, 1.0, math.nan])
def test_illegal_rate(rate: float) -> None:
    with pytest.raises(ConfigError, match="rate"):
        bafd_selection(np.ones((4, 2)), 2, rate, False)


def test_illegal_neighbours() -> None:
    with pytest.raises(ConfigError, match="knn"):
        bafd_selection(np.ones((4, 2)), 0, 0.5, False)
    with pytest.raises(ConfigError, match="knn"):
        bafd_local_ranking(np.ones((4, 2)), 0)


@pytest.mark.parametrize("weight", [np.ones(3), np.ones((0, 2))])
def test_no_filters(weight: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="one filter per row"):
        bafd_local_ranking(weight, 2)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers(value: float) -> None:
    weight = np.ones((4, 3))
    weight[2, 1] = value
    with pytest.raises(ArtifactError, match="NaN or infinities"):
        bafd_selection(weight, 2, 0.5, False)
