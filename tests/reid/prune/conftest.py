"""Networks whose every tensor matters: random weights, random normalisation statistics."""

import copy
import functools
from collections.abc import Callable

import pytest
import torch
from torch import nn

from reid.models import ReIDNetwork, build
from reid.prune import PrunePlan, PruneUnit, find_units, kept_count


def _randomised(name: str) -> ReIDNetwork:
    torch.manual_seed(1)
    network = build(name, 7)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2)
        elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.normal_(layer.bias, 0, 0.3)
    return network


@pytest.fixture(scope="session")
def _networks() -> dict[str, ReIDNetwork]:
    return {name: _randomised(name) for name in ("resnet18", "osnet_x0_25")}


@pytest.fixture
def network(_networks: dict[str, ReIDNetwork]) -> Callable[[str], ReIDNetwork]:
    """`network(name)`: a fresh copy of the dense network, always with the same weights."""
    return lambda name: copy.deepcopy(_networks[name])


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="session")
def units(_networks: dict[str, ReIDNetwork]) -> Callable[[str, str], tuple[PruneUnit, ...]]:
    """`units(name, scope)`, found once."""
    return functools.cache(lambda name, scope: find_units(_networks[name], scope))


@pytest.fixture(scope="session")
def any_plan(units: Callable[[str, str], tuple[PruneUnit, ...]]) -> Callable[..., PrunePlan]:
    """`any_plan(name, scope, rate, round_to=1)`: every unit loses that share, at random."""

    def make(name: str, scope: str, rate: float, round_to: int = 1) -> PrunePlan:
        random = torch.Generator().manual_seed(3)
        kept = {}
        for unit in units(name, scope):
            order = torch.randperm(unit.width, generator=random)
            kept[unit.name] = tuple(sorted(order[: kept_count(unit.width, rate, round_to)].tolist()))
        return PrunePlan(units=units(name, scope), kept=kept)

    return make
