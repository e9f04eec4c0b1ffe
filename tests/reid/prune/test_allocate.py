"""Rates against a transcription of the method and against figures that were computed from its description."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from reid.errors import ConfigError
from reid.models import ReIDNetwork, build
from reid.prune import PruneUnit, bafd_local_ranking, find_units, layer_rates
from reid.prune.allocate import unit_filters

Build = Callable[[str], ReIDNetwork]


def plain_rates(
    weights: dict[str, torch.Tensor], blocks: dict[str, str], prune_rate: float, cap: float
) -> dict[str, float]:
    scored = [(score, layer) for layer, w in weights.items() for score in bafd_local_ranking(w, 2)]
    wanted, taken = math.floor(prune_rate * len(scored)), dict.fromkeys(weights, 0)
    for _, layer in sorted(scored, key=lambda pair: pair[0]):
        if sum(taken.values()) < wanted and taken[layer] < math.floor(cap * len(weights[layer])):
            taken[layer] += 1
    rates = {}
    for layer, block in blocks.items():
        mates = [mate for mate, its in blocks.items() if its == block]
        rates[layer] = sum(taken[mate] / len(weights[mate]) for mate in mates) / len(mates)
    return rates


@pytest.mark.parametrize(("prune_rate", "cap"), [(0.0, 0.9), (0.5, 0.95), (0.9, 0.95), (0.99, 0.5)])
def test_rates_of_resnet_blocks(prune_rate: float, cap: float, network: Build) -> None:
    model = network("resnet18")
    units = find_units(model, "inner")
    weights = {unit.name: model.get_submodule(unit.name).weight for unit in units}
    blocks = {unit.name: unit.name.rpartition(".")[0] for unit in units}
    rates = layer_rates(model, units, prune_rate=prune_rate, knn=2, max_layer_rate=cap)
    assert rates == plain_rates(weights, blocks, prune_rate, cap)


def stage_rates(model: ReIDNetwork, prune_rate: float, cap: float) -> list[list[float]]:
    units = find_units(model, "inner")
    rates = layer_rates(model, units, prune_rate=prune_rate, knn=2, max_layer_rate=cap)
    return [[rate for name, rate in rates.items() if name.startswith(f"layer{i}")] for i in (1, 2, 3, 4)]


def test_published_behaviour_on_random_weights(network: Build) -> None:
    """Wide layers go first: their scores scale like 1 / sqrt(width)."""
    first, second, third, fourth = stage_rates(network("resnet18"), 0.9, 0.95)
    assert all(0.1 < rate < 0.3 for rate in first)
    assert all(rate == pytest.approx(0.945, abs=2e-3) for rate in second)
    assert all(rate == pytest.approx(0.949, abs=2e-3) for rate in (*third, *fourth))
    assert stage_rates(network("resnet18"), 0.5, 0.5) == [[0.5] * 4] * 4
    *narrow, fourth = stage_rates(network("resnet18"), 0.5, 0.95)
    assert all(rate == 0 for stage in narrow for rate in stage)
    assert all(rate == pytest.approx(0.94, abs=0.01) for rate in fourth)


def is_wide(model: nn.Module, unit: PruneUnit) -> bool:
    return any(max(model.get_submodule(conv).kernel_size) > 1 for conv in unit.convs)


@pytest.mark.parametrize("scope", ["inner", "grouped"])
@pytest.mark.parametrize("prune_rate", [0.3, 0.8])
def test_sharing_keeps_the_number_taken(prune_rate: float, scope: str, network: Build) -> None:
    model = network("osnet_x0_25")
    units = find_units(model, scope)
    rates = layer_rates(model, units, prune_rate=prune_rate, knn=2, max_layer_rate=0.9)
    wide_blocks = {unit.block for unit in units if is_wide(model, unit) and unit.block}
    ranked = [unit for unit in units if is_wide(model, unit) or unit.block not in wide_blocks]
    total = sum(unit.width for unit in ranked)
    taken = sum(rates[unit.name] * unit.width for unit in ranked)
    assert taken == pytest.approx(math.floor(prune_rate * total), abs=1e-6)
    for unit in units:
        assert (
            rates[unit.name] == rates[next(u.name for u in units if u.block == unit.block)] or not unit.block
        )


def test_bottlenecks_follow_their_3x3_convolutions() -> None:
    torch.manual_seed(0)
    model = build("resnet50", 7)
    units = find_units(model, "inner")
    rates = layer_rates(model, units, prune_rate=0.5, knn=2, max_layer_rate=0.9)
    named = [unit for unit in units if unit.name == "conv1" or unit.name.endswith("conv2")]
    weights = {unit.name: model.get_submodule(unit.name).weight for unit in named}
    wanted = plain_rates(weights, {name: name for name in weights}, 0.5, 0.9)
    assert {name: rates[name] for name in weights} == wanted
    assert len(set(wanted.values())) > 2
    for unit in units:
        if unit.name.endswith("conv1") and unit.block:
            assert rates[unit.name] == wanted[f"{unit.block}.conv2"]


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.floats(0, 0.999),
    st.floats(0.01, 0.99),
    st.integers(1, 4),
    st.integers(0, 2**31),
)
def test_never_more_than_asked(widths: list[int], prune_rate: float, cap: float, knn: int, seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.ModuleDict({f"c{i}": nn.Conv2d(2, width, 1) for i, width in enumerate(widths)})
    units = [
        PruneUnit(name=name, kind="group", block=None, width=w, convs=(name,), norms=(), readers=())
        for (name, _), w in zip(model.items(), widths, strict=True)
    ]
    rates = layer_rates(model, units, prune_rate=prune_rate, knn=knn, max_layer_rate=cap)
    assert rates == layer_rates(model, units, prune_rate=prune_rate, knn=knn, max_layer_rate=cap)
    assert all(0 <= rate <= cap for rate in rates.values())
    taken = sum(round(rates[unit.name] * unit.width) for unit in units)
    room = sum(math.floor(cap * width) for width in widths)
    assert taken == min(math.floor(prune_rate * sum(widths)), room)


def test_tied_convolutions_are_ranked_side_by_side(network: Build) -> None:
    model = network("osnet_x0_25")
    unit = next(u for u in find_units(model, "inner") if u.name == "conv2.0.conv2b.0.conv1")
    light = model.get_submodule("conv2.0.conv2b.0")
    filters = unit_filters(model, unit)
    assert filters.shape == (16, 16 + 9)
    assert torch.equal(filters[3, :16], light.conv1.weight[3].flatten().double())
    assert torch.equal(filters[3, 16:], light.conv2.weight[3].flatten().double())


def test_no_units() -> None:
    assert layer_rates(nn.Identity(), (), prune_rate=0.5, knn=2, max_layer_rate=0.9) == {}


@pytest.mark.parametrize(("prune_rate", "cap"), [(1.0, 0.9), (-0.1, 0.9), (0.5, 0.0), (0.5, 1.0)])
def test_illegal_rates(prune_rate: float, cap: float) -> None:
    with pytest.raises(ConfigError, match="rate must be"):
        layer_rates(nn.Identity(), (), prune_rate=prune_rate, knn=2, max_layer_rate=cap)
