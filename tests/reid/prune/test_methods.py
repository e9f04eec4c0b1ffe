"""Methods as the pipeline drives them."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from reid.config import TrialConfig
from reid.errors import ConfigError
from reid.models import ReIDNetwork
from reid.prune import (
    METHODS,
    PrunePlan,
    Pruner,
    method_of,
    planned,
    prune_parameters,
    slim,
    slim_difference,
    soft_epochs,
    unit_rates,
)

Build = Callable[[str], ReIDNetwork]
CONFIG = TrialConfig(prune_rate=0.6, max_layer_rate=0.9, scope="inner", prune_epochs=3)
OURS = sorted(name for name, method in METHODS.items() if method is not None and method.nni is None)
SOFT = sorted(name for name in OURS if method_of(dataclasses.replace(CONFIG, method=name)).soft)


def train_a_little(model: nn.Module, epoch: int, pruner: Pruner, optimizer: str = "SGD") -> None:
    """One step of an optimizer, whose weight decay moves also what has no gradient."""
    torch.manual_seed(epoch)
    descent = getattr(torch.optim, optimizer)(model.parameters(), lr=0.01, weight_decay=5e-4)
    images = torch.randn(4, 3, 64, 32)
    model.train()
    embedding = model.embed(images)[1]  # type: ignore[operator]
    model.classifier(embedding).square().mean().backward()  # type: ignore[operator]
    with pruner.still():
        descent.step()
    descent.zero_grad()


def pruner_of(model: ReIDNetwork, dense: ReIDNetwork, config: TrialConfig, round_to: int = 4) -> Pruner:
    return Pruner(model, config, unit_rates(dense, config), round_to=round_to)


def counts(plan: PrunePlan) -> dict[str, int]:
    return {name: len(kept) for name, kept in plan.kept.items()}


def run(
    model: ReIDNetwork, dense: ReIDNetwork, config: TrialConfig, epochs: range | None = None
) -> PrunePlan:
    pruner = pruner_of(model, dense, config)
    for epoch in epochs or range(soft_epochs(config)):
        train_a_little(model, epoch, pruner)
        pruner.step(model, epoch)
    return pruner.finish(model)


@pytest.mark.parametrize("scope", ["inner", "grouped"])
@pytest.mark.parametrize("name", OURS)
def test_a_run_ends_as_it_was_planned(name: str, scope: str, network: Build, images: Tensor) -> None:
    backbone = "osnet_x0_25" if name == "bafd" else "resnet18"
    config = dataclasses.replace(CONFIG, method=name, scope=scope)
    model, dense = network(backbone), network(backbone)
    first = planned(dense, config, round_to=4)
    assert all(
        torch.equal(a, b) for a, b in zip(dense.parameters(), network(backbone).parameters(), strict=True)
    )
    plan = run(model, dense, config)
    assert counts(plan) == counts(first)
    assert 0.3 < plan.removed_share <= 0.6
    assert slim_difference(model, slim(model, plan), plan, images) <= 1e-4


def test_methods_differ_in_what_they_say_they_do() -> None:
    soft = {"bafd", "plfp", "sfp", "asfp", "fpgm"}
    assert set(SOFT) == soft
    for name in OURS:
        config = dataclasses.replace(CONFIG, method=name)
        assert soft_epochs(config) == (3 if name in soft else 0)
        assert method_of(config).allocate == ("bafd" if name == "bafd" else "uniform")
        assert method_of(config).decay_rate == (0.3 if name in ("bafd", "plfp") else 0.0)
        assert method_of(config).mask_norm == (name in ("bafd", "plfp"))
        assert method_of(config).schedule == ("asymptotic" if name == "asfp" else "constant")


def test_settings_go_before_the_methods_own_ways() -> None:
    config = dataclasses.replace(
        CONFIG, method="sfp", allocate="bafd", prune_schedule="cubic", decay_rate=0.5
    )
    method = method_of(config)
    assert (method.criterion, method.allocate, method.schedule, method.decay_rate) == (
        "l2", "bafd", "cubic", 0.5,
    )  # fmt: skip


def test_only_what_matters_to_a_method_decides_its_stage() -> None:
    def same(method: str, **changed: object) -> bool:
        config = dataclasses.replace(CONFIG, method=method)
        return prune_parameters(config) == prune_parameters(dataclasses.replace(config, **changed))  # type: ignore[arg-type]

    assert same("sfp", knn=5)
    assert not same("plfp", knn=5)
    assert same("hfp", prune_epochs=9)
    assert not same("sfp", prune_epochs=9)
    assert not same("sfp", gradient_mask=True)
    assert same("l2", seed=4)
    assert not same("random", seed=4)
    assert not same("nni-taylor", nni_steps=7)
    assert prune_parameters(dataclasses.replace(CONFIG, method="none")) == {"method": "none"}


def test_a_step_lets_the_chosen_filters_decay(network: Build) -> None:
    config = dataclasses.replace(CONFIG, method="plfp")
    model, dense = network("resnet18"), network("resnet18")
    plan = planned(dense, config, round_to=1)
    pruner_of(model, dense, config, round_to=1).step(model, 0)
    unit = plan.units[-1]
    now, then = (net.get_submodule(unit.name).weight for net in (model, dense))
    assert torch.equal(now[list(plan.removed(unit))], then[list(plan.removed(unit))] * 0.3)
    assert torch.equal(now[list(plan.kept[unit.name])], then[list(plan.kept[unit.name])])


def test_a_norm_may_be_left_alone(network: Build) -> None:
    config = dataclasses.replace(CONFIG, method="sfp", mask_norm=False)
    model, dense = network("resnet18"), network("resnet18")
    pruner = pruner_of(model, dense, config)
    pruner.step(model, 0)
    unit = pruner.units[0]
    removed = list(planned(dense, config, round_to=4).removed(unit))
    assert not model.get_submodule(unit.name).weight[removed].any()
    norm, before = (net.get_submodule(unit.norms[0]).weight for net in (model, dense))
    assert torch.equal(norm, before)
    pruner.finish(model)
    assert not norm[removed].any()


def test_an_asymptotic_schedule_takes_more_from_epoch_to_epoch(network: Build) -> None:
    config = dataclasses.replace(CONFIG, method="asfp", prune_epochs=8)
    model = network("resnet18")
    pruner = pruner_of(model, network("resnet18"), config)
    unit = pruner.units[-1]
    zero = []
    for epoch in range(8):
        train_a_little(model, epoch, pruner)
        pruner.step(model, epoch)
        zero.append(int((model.get_submodule(unit.name).weight.flatten(1).abs().amax(1) == 0).sum()))
    assert zero[0] < zero[1] <= zero[7]
    assert zero[0] >= 0.7 * zero[7]
    assert zero[7] == unit.width - counts(pruner.finish(model))[unit.name]


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_held_filters_do_not_move(optimizer: str, network: Build) -> None:
    config = dataclasses.replace(CONFIG, method="plfp", gradient_mask=True)
    moved = {}
    for masked in (True, False):
        model = network("resnet18")
        own = dataclasses.replace(config, gradient_mask=masked)
        pruner = pruner_of(model, network("resnet18"), own)
        unit = pruner.units[0]
        chosen = list(pruner.plan(model).removed(unit))
        pruner.step(model, 0)
        layers = [model.get_submodule(name) for name in (unit.convs[0], unit.norms[0])]
        before = [layer.weight.detach().clone() for layer in layers]
        for step in range(3):
            train_a_little(model, step, pruner, optimizer)
        moved[masked] = [
            (layer.weight.detach() - old).flatten(1 if old.dim() > 1 else 0).abs()
            for layer, old in zip(layers, before, strict=True)
        ]
    for held, free in zip(moved[True], moved[False], strict=True):
        others = [row for row in range(len(held)) if row not in chosen]
        assert not held[chosen].any()
        assert held[others].any()
        assert free[chosen].any()


def test_a_filter_that_is_zeroed_with_its_norm_stays_dead(network: Build) -> None:
    for mask_norm in (True, False):
        config = dataclasses.replace(CONFIG, method="sfp", mask_norm=mask_norm)
        model = network("resnet18")
        pruner = pruner_of(model, network("resnet18"), config)
        pruner.step(model, 0)
        weight = model.get_submodule(pruner.units[0].name).weight
        zero = weight.flatten(1).abs().amax(1) == 0
        train_a_little(model, 1, pruner)
        assert bool(weight[zero].any()) is not mask_norm


def test_a_final_choice_is_kept(network: Build) -> None:
    config = dataclasses.replace(CONFIG, method="sfp", prune_epochs=4, zero_epochs=2)
    model = network("resnet18")
    pruner = pruner_of(model, network("resnet18"), config)
    chosen = []
    for epoch in range(4):
        train_a_little(model, epoch, pruner)
        pruner.step(model, epoch)
        with torch.no_grad():  # weights after which another choice would be made
            chosen.append(pruner._hold.plan() if pruner._hold else None)
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    assert chosen[0] is not None
    assert chosen[1] == chosen[2] == chosen[3] != chosen[0]
    assert pruner.finish(model) == chosen[3]
    assert not any("held_filters" in name for name in model.state_dict())


@pytest.mark.parametrize("method", SOFT)
def test_nothing_changes_at_the_end_of_the_epochs_at_zero(method: str, network: Build) -> None:
    config = dataclasses.replace(CONFIG, method=method, prune_epochs=3, zero_epochs=2)
    model = network("resnet18")
    pruner = pruner_of(model, network("resnet18"), config)
    for epoch in range(3):
        train_a_little(model, epoch, pruner, "Adam")
        pruner.step(model, epoch)
    model.eval()
    images = torch.randn(4, 3, 64, 32)
    with torch.no_grad():
        before = model(images)
        pruner.finish(model)
        assert torch.equal(model(images), before)


def test_the_schedule_ends_where_the_choice_is_final(network: Build) -> None:
    config = dataclasses.replace(CONFIG, method="sfp", prune_schedule="cubic", prune_epochs=5, zero_epochs=2)
    model = network("resnet18")
    pruner = pruner_of(model, network("resnet18"), config, round_to=1)
    unit = max(pruner.units, key=lambda one: one.width)
    gone = []
    for epoch in range(3):
        pruner.step(model, epoch)
        weight = model.get_submodule(unit.name).weight
        gone.append(int((weight.flatten(1).abs().amax(1) == 0).sum()))
    rate = pruner._rates[unit.name]
    assert gone == [int(unit.width * rate * share + 1e-9) for share in (19 / 27, 26 / 27, 1.0)]


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "bafd"},
        {"method": "asfp"},
        {"method": "fpgm", "gradient_mask": True},
        {"method": "sfp", "zero_epochs": 1},
    ],
    ids=str,
)
def test_a_resumed_run_ends_in_the_same_weights(changed: dict[str, object], network: Build) -> None:
    config = dataclasses.replace(CONFIG, **changed)  # type: ignore[arg-type]
    whole, begun, resumed = (network("resnet18") for _ in range(3))
    dense = network("resnet18")
    expected = run(whole, dense, config)
    before = pruner_of(begun, dense, config)
    for epoch in range(2):
        train_a_little(begun, epoch, before)
        before.step(begun, epoch)
    after = pruner_of(resumed, dense, config)
    resumed.load_state_dict(begun.state_dict())
    train_a_little(resumed, 2, after)
    after.step(resumed, 2)
    assert after.finish(resumed) == expected
    for (name, value), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(value, other), name


def test_none_keeps_everything(network: Build) -> None:
    config = dataclasses.replace(CONFIG, method="none")
    plan = planned(network("resnet18"), config, round_to=16)
    assert unit_rates(network("resnet18"), config) == {}
    assert plan.removed_share == 0
    assert soft_epochs(config) == 0


def test_a_soft_method_needs_epochs() -> None:
    with pytest.raises(ConfigError, match="method sfp prunes softly and needs prune_epochs of at least 1"):
        soft_epochs(dataclasses.replace(CONFIG, method="sfp", prune_epochs=0))
    assert soft_epochs(dataclasses.replace(CONFIG, method="hfp", prune_epochs=0)) == 0
