"""Networks whose every tensor matters: random weights, random normalisation statistics."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from reid.models import ReIDNetwork, build
from reid.prune import PrunePlan, PruneUnit, find_units, kept_count


@functools.cache
def _randomised(name: str, **options: Any) -> ReIDNetwork:
    torch.manual_seed(1)
    network = build(name, 7, **options)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d | nn.InstanceNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
            if layer.running_mean is not None:
                layer.running_mean.normal_(0, 0.2)
                layer.running_var.uniform_(0.5, 2)
        elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.normal_(layer.bias, 0, 0.3)
        elif hasattr(layer, "layer_scale"):
            # Its start of 1e-6 would hide what a block computes.
            nn.init.uniform_(layer.layer_scale, 0.5, 1.5)
    return network


@pytest.fixture(scope="session")
def network() -> Callable[..., ReIDNetwork]:
    """`network(name, **options)`: a fresh copy of the dense network, always with the same weights."""
    return lambda name, **options: copy.deepcopy(_randomised(name, **options))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="session")
def units() -> Callable[..., tuple[PruneUnit, ...]]:
    """`units(name, scope, **options)`, found once."""
    return functools.cache(lambda name, scope, **options: find_units(_randomised(name, **options), scope))


@pytest.fixture(scope="session")
def any_plan(units: Callable[..., tuple[PruneUnit, ...]]) -> Callable[..., PrunePlan]:
    """`any_plan(name, scope, rate, round_to=1, **options)`: every unit loses that share, at random."""

    def make(name: str, scope: str, rate: float, round_to: int = 1, **options: Any) -> PrunePlan:
        random = torch.Generator().manual_seed(3)
        kept = {}
        found = units(name, scope, **options)
        for unit in found:
            order = torch.randperm(unit.width, generator=random)
            kept[unit.name] = tuple(sorted(order[: kept_count(unit.width, rate, round_to)].tolist()))
        return PrunePlan(units=found, kept=kept)

    return make
