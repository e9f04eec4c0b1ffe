"""Methods as the pipeline drives them."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reid.config import TrialConfig
from reid.models import ReIDNetwork
from reid.prune import METHODS, PrunePlan, planned, slim, slim_difference

Build = Callable[[str], ReIDNetwork]
CONFIG = TrialConfig(prune_rate=0.6, decay_rate=0.3, max_layer_rate=0.9, scope="inner")


def train_a_little(model: ReIDNetwork, epoch: int) -> None:
    noise = torch.Generator().manual_seed(epoch)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=noise))


def counts(plan: PrunePlan) -> dict[str, int]:
    return {name: len(kept) for name, kept in plan.kept.items()}


@pytest.mark.parametrize("scope", ["inner", "grouped"])
@pytest.mark.parametrize("name", ["resnet18", "osnet_x0_25"])
def test_a_run_ends_as_it_was_planned(name: str, scope: str, network: Build, images: Tensor) -> None:
    config, model = dataclasses.replace(CONFIG, scope=scope), network(name)
    first = planned(model, config, round_to=4)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), network(name).parameters(), strict=True))
    pruner = METHODS["bafd"](model, config, round_to=4)
    for epoch in range(2):
        train_a_little(model, epoch)
        pruner.step(model, epoch)
    plan = pruner.finish(model)
    assert counts(plan) == counts(first)
    assert 0.3 < plan.removed_share <= 0.6
    assert slim_difference(model, slim(model, plan), plan, images) <= 1e-4


def test_a_step_lets_the_chosen_filters_decay(network: Build) -> None:
    model, dense = network("resnet18"), network("resnet18")
    plan = planned(dense, CONFIG, round_to=1)
    METHODS["bafd"](model, CONFIG, round_to=1).step(model, 0)
    unit = plan.units[-1]
    now, then = (net.get_submodule(unit.name).weight for net in (model, dense))
    assert torch.equal(now[list(plan.removed(unit))], then[list(plan.removed(unit))] * 0.3)
    assert torch.equal(now[list(plan.kept[unit.name])], then[list(plan.kept[unit.name])])


def test_a_resumed_run_ends_in_the_same_weights(network: Build) -> None:
    def run(model: ReIDNetwork, epochs: range) -> None:
        pruner = METHODS["bafd"](network("osnet_x0_25"), CONFIG, round_to=4)
        for epoch in epochs:
            train_a_little(model, epoch)
            pruner.step(model, epoch)
        pruner.finish(model)

    whole, resumed = network("osnet_x0_25"), network("osnet_x0_25")
    run(whole, range(3))
    before = METHODS["bafd"](network("osnet_x0_25"), CONFIG, round_to=4)
    for epoch in range(2):
        train_a_little(resumed, epoch)
        before.step(resumed, epoch)
    run(resumed, range(2, 3))
    for (name, value), expected in zip(
        whole.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(value, expected), name


def test_none_keeps_everything(network: Build, images: Tensor) -> None:
    model, config = network("resnet18"), dataclasses.replace(CONFIG, method="none")
    pruner = METHODS["none"](model, config, round_to=16)
    pruner.step(model, 0)
    plan = pruner.finish(model)
    assert planned(model, config, round_to=16) == plan
    slimmed = slim(model, plan)
    assert torch.equal(slimmed.eval()(images), network("resnet18").eval()(images))
    assert plan.removed_share == 0
