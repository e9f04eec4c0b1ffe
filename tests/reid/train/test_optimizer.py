"""Optimizers against torch's own, unfused and one parameter at a time."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from reid.models import build
from reid.train import Recipe
from reid.train.optimizer import build_optimizer, moving_parameters, set_rate

RECIPE = Recipe(learning_rate=0.01, weight_decay=0.1)
ORACLES = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, weight_decay=0.1, foreach=False),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1, foreach=False),
    "sgd": lambda parameters: torch.optim.SGD(
        parameters, lr=0.01, weight_decay=0.1, momentum=0.9, nesterov=True, foreach=False
    ),
}


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


@pytest.mark.parametrize("name", ORACLES)
def test_steps_are_those_of_torch(name: str) -> None:
    one, other = small(), small()
    optimizers = [
        build_optimizer(one, nn.Identity(), replace(RECIPE, optimizer=name)),
        ORACLES[name](other.parameters()),
    ]
    for step in range(4):
        inputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(step))
        for network, optimizer in zip((one, other), optimizers, strict=True):
            optimizer.zero_grad()
            network(inputs).square().sum().backward()
            optimizer.step()
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", ["resnet18", "osnet_x0_25"])
def test_head_and_loss_keep_the_rate_and_the_backbone_has_its_share(name: str) -> None:
    model, loss = build(name, 5), nn.Linear(3, 2)
    optimizer = build_optimizer(model, loss, replace(RECIPE, backbone_rate=0.1))
    set_rate(optimizer, 0.02)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    trained = [p for p in (*model.parameters(), *loss.parameters()) if p.requires_grad]
    assert set(rates) == {id(p) for p in trained}
    head = [*model.classifier.parameters(), *loss.parameters()]
    head += model.fc.parameters() if name.startswith("osnet") else [model.bottleneck.weight]
    for parameter in trained:
        expected = 0.02 if any(parameter is p for p in head) else 0.002
        assert rates[id(parameter)] == pytest.approx(expected)


def test_a_skipped_first_step_leaves_no_momentum() -> None:
    """As with fp16, whose first scaled gradients overflow."""
    network, twin = small(), small()
    loss = nn.Identity()
    optimizer, other = (
        build_optimizer(one, loss, replace(RECIPE, optimizer="sgd")) for one in (network, twin)
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    inputs = torch.full((2, 4), 1e20)
    scaler.scale(network(inputs).square().sum()).backward()
    scaler.step(optimizer)
    for parameter, before in zip(network.parameters(), small().parameters(), strict=True):
        assert torch.equal(parameter, before)
    for mine, its in ((network, optimizer), (twin, other)):
        its.zero_grad()
        mine(torch.ones(2, 4)).square().sum().backward()
        its.step()
    for parameter, expected in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(parameter, expected)


def test_what_does_not_move_is_not_clipped_for() -> None:
    model, loss = build("resnet18", 5), nn.Linear(3, 2)
    frozen = build_optimizer(model, loss, replace(RECIPE, backbone_rate=0.0))
    head = {id(p) for p in (*model.classifier.parameters(), *loss.parameters(), model.bottleneck.weight)}
    assert {id(p) for p in moving_parameters(frozen)} == head
    whole = build_optimizer(model, loss, RECIPE)
    assert {id(p) for p in moving_parameters(whole)} > head
