"""Pruning in rounds: counts, and one plan for what several plans did."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reid.models import ReIDNetwork
from reid.prune import PrunePlan, compose, decay, find_units, kept_count, round_rates, select, slim

Build = Callable[[str], ReIDNetwork]


def test_three_halvings() -> None:
    widths, rates = {"conv": 512}, {"conv": 0.875}
    present = 512
    for number, expected in enumerate((256, 128, 64)):
        rate = round_rates({"conv": 512}, rates, number, 3, 16)["conv"]
        present = kept_count(present, rate, 1)
        assert present == expected
    assert round_rates(widths, rates, 0, 1, 16) == {"conv": 0.875}


@given(st.integers(1, 600), st.floats(0, 0.99), st.integers(1, 5), st.integers(1, 32))
def test_rounds_end_where_one_would(width: int, rate: float, rounds: int, round_to: int) -> None:
    present = width
    for number in range(rounds):
        share = round_rates({"conv": width}, {"conv": rate}, number, rounds, round_to)["conv"]
        assert 0 <= share < 1
        present = kept_count(present, share, 1)
    # (1 - rate)^(n / n) may differ from 1 - rate by a rounding error, and a count by one multiple.
    assert abs(present - kept_count(width, rate, round_to)) <= round_to


@pytest.mark.parametrize("name", ["resnet18", "osnet_x0_25"])
def test_a_composed_plan_leaves_what_two_left(name: str, network: Build, images: torch.Tensor) -> None:
    model = network(name)

    def prune(network: ReIDNetwork, rate: float) -> tuple[ReIDNetwork, PrunePlan]:
        units = find_units(network, "grouped")
        plan = select(network, units, {unit.name: rate for unit in units}, criterion="l1", round_to=1)
        decay(network, units, plan, 0.0)
        return slim(network, plan), plan

    once, first = prune(model, 0.5)
    twice, second = prune(once, 0.4)
    both = compose(first, second)
    both.validate(network(name))
    direct = slim(network(name), both)
    shapes = {key: value.shape for key, value in twice.state_dict().items()}
    assert shapes == {key: value.shape for key, value in direct.state_dict().items()}
    direct.load_state_dict(twice.state_dict())
    assert torch.equal(direct.eval()(images), twice.eval()(images))


def test_nothing_composes_to_the_other(network: Build) -> None:
    model = network("resnet18")
    nothing = PrunePlan(units=(), kept={})
    units = find_units(model, "grouped")
    plan = select(model, units, {unit.name: 0.5 for unit in units}, criterion="l2", round_to=1)
    assert compose(nothing, plan) == compose(plan, nothing) == plan
