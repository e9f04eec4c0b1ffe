"""Widths within a budget: never beyond it, hardly worse than the best of all, on a scale that layers share."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import ConfigError
from reid.prune.budget import importance_lost, widths_within


class Chain:
    """Layers in a row: each multiplies the widths of two units that follow each other; the ends are fixed."""

    def __init__(self, units: int) -> None:
        self._units = units

    def total(self, widths: Sequence[int]) -> float:
        ends = [3, *widths, 8]
        return float(sum(a * b for a, b in pairwise(ends)))

    def around(self, unit: int, widths: Sequence[int]) -> float:
        ends = [3, *widths, 8]
        return float(ends[unit + 1] * (ends[unit] + ends[unit + 2]))


def problem(seed: int, units: int) -> tuple[list[list[int]], list[list[float]]]:
    random = np.random.default_rng(seed)
    options = [[16 * count for count in range(int(random.integers(2, 6)), 0, -1)] for _ in range(units)]
    losses = [
        [float(importance_lost([random.standard_normal((own[0], 5))])[own[0] - kept]) for kept in own]
        for own in options
    ]
    return options, losses


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), units=st.integers(1, 4), share=st.floats(0.1, 0.99))
def test_hardly_worse_than_the_best_of_all(seed: int, units: int, share: float) -> None:
    options, losses = problem(seed, units)
    costs = Chain(units)
    budget = share * costs.total([own[0] for own in options])
    every = list(product(*(range(len(own)) for own in options)))

    def widths(at: Sequence[int]) -> list[int]:
        return [own[place] for own, place in zip(options, at, strict=True)]

    def lost(at: Sequence[int]) -> float:
        return sum(own[place] for own, place in zip(losses, at, strict=True))

    fitting = [at for at in every if costs.total(widths(at)) <= budget]
    if not fitting:
        with pytest.raises(ConfigError, match="no allocation fits"):
            widths_within(options, losses, costs, budget)
        return
    found = widths_within(options, losses, costs, budget)
    assert costs.total(widths(found)) <= budget + 1e-6
    dearest_step = max(b - a for own in losses for a, b in pairwise(own))
    assert lost(found) <= min(lost(at) for at in fitting) + dearest_step


def test_a_roomy_budget_takes_nothing() -> None:
    options, losses = problem(0, 3)
    assert widths_within(options, losses, Chain(3), 1e9) == [0, 0, 0]


def test_importance_by_hand() -> None:
    """Squared norms 1, 4, 3 -> in order 1 of 8, then 3 of 7, then 4 of 4."""
    filters = np.array([[1.0, 0.0], [0.0, 2.0], [np.sqrt(3), 0.0]])
    np.testing.assert_allclose(importance_lost([filters]), np.cumsum([0, 1 / 8, 3 / 7, 1]))
    # A tied layer adds its own shares, in the order of both together (3, 5, 4 in squares).
    tied = np.array([[np.sqrt(2)], [1.0], [1.0]])
    both = importance_lost([filters, tied])
    np.testing.assert_allclose(both, np.cumsum([0, 1 / 8 + 2 / 4, 3 / 7 + 1 / 2, 2]))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3))
def test_importance_does_not_see_the_scale_of_a_layer(seed: int, scale: float) -> None:
    filters = np.random.default_rng(seed).standard_normal((12, 4))
    lost = importance_lost([filters])
    np.testing.assert_allclose(importance_lost([scale * filters]), lost, rtol=1e-9)
    assert lost[0] == 0
    assert (np.diff(lost) >= 0).all()


def test_dead_filters_cost_nothing() -> None:
    assert importance_lost([np.zeros((3, 2))]).tolist() == [0, 0, 0, 0]
