"""What is multiplied, and that a zeroed channel is zero for every layer that reads it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from reid.models import ReIDNetwork
from reid.prune import PrunePlan, decay

Build = Callable[[str], ReIDNetwork]
Make = Callable[..., PrunePlan]
CASES = [(name, scope) for name in ("resnet18", "osnet_x0_25") for scope in ("inner", "grouped")]


@pytest.mark.parametrize(("name", "scope"), CASES)
def test_only_removed_filters_shrink(name: str, scope: str, network: Build, any_plan: Make) -> None:
    dense, model = network(name), network(name)
    plan = any_plan(name, scope, 0.6)
    decay(model, plan.units, plan, 0.25)
    expected = dense.state_dict()
    for unit in plan.units:
        for layer in (*unit.convs, *unit.norms):
            for kind in ("weight", "bias"):
                if f"{layer}.{kind}" in expected:
                    expected[f"{layer}.{kind}"][list(plan.removed(unit))] *= 0.25
    for path, value in model.state_dict().items():
        assert torch.equal(value, expected[path]), path


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "scope"), CASES)
def test_zeroed_channels_reach_no_reader(
    name: str, scope: str, training: bool, network: Build, any_plan: Make, images: Tensor
) -> None:
    model = network(name)
    plan = any_plan(name, scope, 0.6)
    decay(model, plan.units, plan, 0.0)
    seen: dict[nn.Module, list[Tensor]] = {}
    for unit in plan.units:
        for reader in unit.readers:
            layer = model.get_submodule(reader)
            layer.register_forward_hook(lambda m, given, _: seen.setdefault(m, []).append(given[0]))
    model.train(training)(images)
    checked = 0
    for unit in plan.units:
        for reader in unit.readers:
            for given in seen.get(model.get_submodule(reader), []):
                assert not given[:, list(plan.removed(unit))].any(), (unit.name, reader)
                # The one or two hidden channels of a gate may all be off behind their ReLU.
                assert given[:, list(plan.kept[unit.name])].any() or not unit.norms
                checked += 1
    assert checked >= 8


def test_scattered_channels_add_nothing_to_the_stream(network: Build, any_plan: Make, images: Tensor) -> None:
    model = network("resnet18").eval()
    plan = any_plan("resnet18", "inner", 0.6)
    decay(model, plan.units, plan, 0.0)
    added: list[Tensor] = []
    model.layer2[1].bn2.register_forward_hook(lambda m, given, output: added.append(output.clone()))
    model(images)
    unit = next(unit for unit in plan.units if unit.name == "layer2.1.conv2")
    assert not added[0][:, list(plan.removed(unit))].any()
    assert added[0][:, list(plan.kept[unit.name])].any()


def test_removed_embedding_dimensions_are_zero(network: Build, any_plan: Make, images: Tensor) -> None:
    model = network("resnet18").eval()
    plan = any_plan("resnet18", "grouped", 0.6)
    decay(model, plan.units, plan, 0.0)
    embedding = model(images)
    kept = list(plan.kept_embedding or ())
    gone = sorted(set(range(512)) - set(kept))
    assert not embedding[:, gone].any()
    assert embedding[:, kept].all()


def test_only_the_named_units_are_treated(network: Build, any_plan: Make) -> None:
    model, dense = network("resnet18"), network("resnet18")
    plan = any_plan("resnet18", "inner", 0.6)
    decay(model, plan.units[:1], plan, 0.0)
    assert not torch.equal(model.layer1[0].conv1.weight, dense.layer1[0].conv1.weight)
    assert torch.equal(model.layer1[0].conv2.weight, dense.layer1[0].conv2.weight)
