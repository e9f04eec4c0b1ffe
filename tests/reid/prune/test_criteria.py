"""Criteria against the published programs' choices, and what must hold of any of them."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reid.errors import ArtifactError, ConfigError
from reid.prune import find_units, fpgm_selection, norm_selection, select
from reid.prune.criteria import CRITERIA, Ask
from tests.reid.prune.golden import golden_cases, golden_weight

NAMES = sorted(CRITERIA)


@pytest.mark.parametrize("case", golden_cases("other_selection"), ids=json.dumps)
def test_choices_of_the_published_programs(case: dict[str, Any]) -> None:
    weight = golden_weight(case)
    assert norm_selection(weight, case["rate"], order=2).tolist() == case["sfp_l2"]
    assert norm_selection(weight, case["rate"], order=1).tolist() == case["hfp_l1"]
    assert fpgm_selection(weight, case["rate"]).tolist() == case["fpgm"]


@st.composite
def filters(draw: st.DrawFn) -> NDArray[np.float64]:
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 6)))
    values = st.integers(-3, 3).map(float)
    flat = draw(st.lists(values, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    return np.array(flat).reshape(shape)


@settings(max_examples=60)
@given(filters(), st.floats(0, 0.99), st.integers(2, 4), st.booleans(), st.sampled_from(NAMES))
def test_exactly_what_is_asked_goes_and_ties_do_not_waver(
    rows: NDArray[np.float64], rate: float, knn: int, efficient: bool, name: str
) -> None:
    ask = Ask(count=int(len(rows) * rate), rate=rate, knn=knn, efficient=efficient, seed=5)
    gone = CRITERIA[name](rows, ask)
    assert gone.dtype == np.int64
    assert len(gone) == ask.count < len(rows)
    assert all(left < right for left, right in pairwise(gone.tolist()))
    assert np.array_equal(gone, CRITERIA[name](rows.copy(), ask))


@settings(max_examples=60)
@given(st.integers(2, 12), st.integers(0, 2**31), st.floats(0.01, 0.9), st.sampled_from(NAMES))
def test_scaling_a_layer_changes_no_choice(n: int, seed: int, rate: float, name: str) -> None:
    rows = np.random.default_rng(seed).standard_normal((n, 7))
    ask = Ask(count=int(n * rate), rate=rate, knn=2, seed=1)
    assert np.array_equal(CRITERIA[name](rows, ask), CRITERIA[name](rows * 8, ask))


def test_norms_by_brute_force() -> None:
    rows = np.random.default_rng(0).standard_normal((40, 3, 3, 3))
    for order, power in ((1, 1.0), (2, 2.0)):
        norms = [sum(abs(v) ** power for v in row.ravel()) for row in rows]
        wanted = sorted(sorted(range(40), key=norms.__getitem__)[:12])
        assert norm_selection(torch.from_numpy(rows), 0.3, order=order).tolist() == wanted


def test_bad_arguments_are_named() -> None:
    weight = np.ones((4, 3))
    with pytest.raises(ConfigError, match="rate must be 0 <= rate < 1, got 1"):
        norm_selection(weight, 1)
    with pytest.raises(ConfigError, match="order of a norm must be 1 or 2, got 3"):
        norm_selection(weight, 0.5, order=3)
    with pytest.raises(ConfigError, match="one filter per row"):
        fpgm_selection(np.ones(4), 0.5)
    for choose in (norm_selection, fpgm_selection):
        with pytest.raises(ArtifactError, match="NaN or infinities"):
            choose(np.array([[1.0, np.nan], [1.0, 2.0]]), 0.5)


def test_chance_differs_between_units_and_follows_the_seed(network: Callable[[str], Any]) -> None:
    model = network("resnet18")
    units = [unit for unit in find_units(model, "inner") if unit.width == 512]
    rates = {unit.name: 0.5 for unit in units}

    def gone(seed: int) -> list[tuple[int, ...]]:
        plan = select(model, units, rates, criterion="random", round_to=1, seed=seed)
        return [plan.removed(unit) for unit in units]

    assert gone(3) == gone(3)
    assert gone(3) != gone(4)
    assert len(set(gone(3))) == len(units) > 1


def test_an_unknown_criterion_is_refused(network: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigError, match="unknown criterion 'l3'; known: bafd, fpgm, l1, l2, random"):
        select(network("resnet18"), (), {}, criterion="l3", round_to=1)
