"""Kept counts, plans as data, and plans that must be refused."""

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError
from reid.models import ReIDNetwork
from reid.prune import PrunePlan, bafd_selection, decay, find_units, kept_count, select, slim

Build = Callable[[str], ReIDNetwork]


@given(st.integers(1, 4096), st.floats(0, 0.9999), st.integers(1, 64))
def test_kept_count_is_legal(width: int, rate: float, round_to: int) -> None:
    kept = kept_count(width, rate, round_to)
    asked = width - math.floor(width * rate)
    assert 1 <= kept <= width
    # A rate a rounding error below gone / width counts as gone / width.
    assert kept >= asked - (width * rate - math.floor(width * rate) > 1 - 1e-8)
    assert kept - asked < round_to
    if width >= 4 * round_to and width % round_to == 0:
        assert kept % round_to == 0


@given(st.integers(1, 4096), st.data())
def test_a_share_gives_its_count_back(width: int, data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, width - 1))
    assert kept_count(width, gone / width, 1) == width - gone


@pytest.mark.parametrize(
    ("width", "rate", "round_to", "kept"),
    [
        (512, 0.9, 16, 64),
        (64, 0.9, 16, 16),
        (32, 0.9, 16, 8),
        (32, 0.6, 16, 16),
        (32, 0.3, 16, 32),
        (16, 0.9, 16, 4),
        (16, 0.5, 16, 8),
        (24, 0.5, 16, 16),
        (2, 0.5, 16, 1),
        (1, 0.9, 16, 1),
        (512, 0.0, 16, 512),
        (100, 0.29, 1, 71),
    ],
)
def test_kept_count_of_known_layers(width: int, rate: float, round_to: int, kept: int) -> None:
    assert kept_count(width, rate, round_to) == kept


@pytest.mark.parametrize(("rate", "round_to"), [(1.0, 1), (-0.1, 1), (0.5, 0)])
def test_illegal_counts(rate: float, round_to: int) -> None:
    with pytest.raises(ConfigError, match=r"rate|round_to"):
        kept_count(8, rate, round_to)


@pytest.fixture
def model(network: Build) -> ReIDNetwork:
    return network("resnet18")


@pytest.fixture
def plan(model: ReIDNetwork) -> PrunePlan:
    units = find_units(model, "inner")
    rates = {unit.name: 0.6 for unit in units}
    return select(model, units, rates, knn=2, efficient=False, round_to=1)


def test_selection_is_that_of_each_convolution(model: ReIDNetwork, plan: PrunePlan) -> None:
    plan.validate(model)
    for unit in plan.units[:4]:
        weight = model.get_submodule(unit.name).weight
        assert list(plan.removed(unit)) == bafd_selection(weight, 2, 0.6, False).tolist()
        assert sorted((*plan.removed(unit), *plan.kept[unit.name])) == list(range(unit.width))
    removed = sum(len(plan.removed(unit)) for unit in plan.units)
    assert plan.removed_share == pytest.approx(removed / sum(unit.width for unit in plan.units))


def test_efficient_selection_above_one_half_only(model: ReIDNetwork) -> None:
    units = find_units(model, "inner")[:2]
    weight = model.get_submodule(units[0].name).weight
    rates = {units[0].name: 0.75, units[1].name: 0.5}
    fast = select(model, units, rates, knn=2, efficient=True, round_to=1)
    assert list(fast.removed(units[0])) == bafd_selection(weight, 2, 0.75, True).tolist()
    assert list(fast.removed(units[0])) != bafd_selection(weight, 2, 0.75, False).tolist()
    plain = select(model, units, rates, knn=2, efficient=False, round_to=1)
    assert fast.kept[units[1].name] == plain.kept[units[1].name]


def test_counts_do_not_depend_on_the_weights(model: ReIDNetwork, plan: PrunePlan) -> None:
    rates = {unit.name: 0.6 for unit in plan.units}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    later = select(model, plan.units, rates, knn=2, efficient=False, round_to=1)
    assert later.kept != plan.kept
    assert {name: len(kept) for name, kept in later.kept.items()} == {
        name: len(kept) for name, kept in plan.kept.items()
    }


def test_equal_filters_are_chosen_alike_every_time(model: ReIDNetwork) -> None:
    units = find_units(model, "inner")[:1]
    with torch.no_grad():
        model.get_submodule(units[0].name).weight.fill_(0.1)
    first, second = (
        select(model, units, {units[0].name: 0.5}, knn=2, efficient=True, round_to=1) for _ in range(2)
    )
    assert first == second
    assert len(first.kept[units[0].name]) == 32


def test_the_embedding_is_told_by_the_units(model: ReIDNetwork, plan: PrunePlan) -> None:
    assert plan.kept_embedding is None
    units = find_units(model, "grouped")
    rates = {unit.name: 0.5 for unit in units}
    grouped = select(model, units, rates, knn=2, efficient=True, round_to=8)
    assert grouped.kept_embedding == grouped.kept["layer4.0.conv2"]


@pytest.mark.parametrize(("name", "scope"), [("resnet18", "inner"), ("osnet_x0_25", "grouped")])
def test_plan_survives_json(name: str, scope: str, any_plan: Callable[..., PrunePlan]) -> None:
    plan = any_plan(name, scope, 0.5)
    assert PrunePlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d | {"schema": 1},
        lambda d: d | {"extra": 1},
        lambda d: {"schema": 2},
        lambda d: d | {"units": [{**d["units"][0], "kind": "odd"}]},
        lambda d: d | {"units": [{**d["units"][0], "kept": None}]},
        lambda d: d | {"units": [{**d["units"][0], "colour": "red"}]},
        lambda d: d | {"units": [1]},
        lambda d: [d],
    ],
)
def test_plans_that_cannot_be_read(
    damage: Callable[[dict[str, Any]], Any], any_plan: Callable[..., PrunePlan]
) -> None:
    plan = any_plan("resnet18", "inner", 0.5)
    with pytest.raises(ConfigError, match="plan"):
        PrunePlan.from_dict(damage(plan.to_dict()))


def edited(plan: PrunePlan, name: str, kept: tuple[int, ...]) -> PrunePlan:
    return dataclasses.replace(plan, kept={**plan.kept, name: kept})


def rewired(plan: PrunePlan, **changes: Any) -> PrunePlan:
    return dataclasses.replace(plan, units=(dataclasses.replace(plan.units[0], **changes), *plan.units[1:]))


FIRST, SECOND = "layer1.0.conv1", "layer1.0.conv2"
ILLEGAL: dict[str, tuple[Callable[[PrunePlan], PrunePlan], str]] = {
    "nothing stays": (lambda p: edited(p, FIRST, ()), f"{FIRST} would keep 0 of 64"),
    "twice": (lambda p: edited(p, FIRST, (1, 1)), FIRST),
    "descending": (lambda p: edited(p, FIRST, (3, 1)), FIRST),
    "negative": (lambda p: edited(p, FIRST, (-1, 1)), FIRST),
    "beyond": (lambda p: edited(p, FIRST, (0, 64)), FIRST),
    "stranger": (lambda p: edited(p, "conv99", (0,)), "different units"),
    "unit twice": (lambda p: dataclasses.replace(p, units=(*p.units, p.units[0])), "different units"),
    "layer twice": (lambda p: rewired(p, convs=(SECOND,)), f"{SECOND} belongs to two units"),
    "no layer": (lambda p: rewired(p, convs=("layer9",)), f"{FIRST}: the network has no layer layer9"),
    "wrong width": (lambda p: rewired(p, norms=("layer2.0.bn1",)), f"{FIRST}: layer2.0.bn1"),
    "wrong kind": (lambda p: rewired(p, norms=("layer1.0.conv2",)), f"{FIRST}: layer1.0.conv2"),
    "wrong reader": (lambda p: rewired(p, readers=("layer2.1.conv1",)), f"{FIRST}: layer2.1.conv1"),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_illegal_plans_change_nothing(
    case: str, model: ReIDNetwork, any_plan: Callable[..., PrunePlan]
) -> None:
    plan = any_plan("resnet18", "inner", 0.5)
    spoil, message = ILLEGAL[case]
    illegal, before = spoil(plan), {name: value.clone() for name, value in model.state_dict().items()}
    for act in (
        lambda: illegal.validate(model),
        lambda: decay(model, plan.units, illegal, 0.0),
        lambda: slim(model, illegal),
    ):
        with pytest.raises(ConfigError, match=message):
            act()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_normalisation_without_weight_is_refused(model: ReIDNetwork, plan: PrunePlan) -> None:
    model.layer1[0].bn1 = torch.nn.BatchNorm2d(64, affine=False)
    with pytest.raises(ConfigError, match=r"layer1\.0\.bn1 has no weight"):
        plan.validate(model)
