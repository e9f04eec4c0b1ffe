"""Optimizers by name, with a rate of their own for what was trained before."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from reid.train.recipe import Recipe

__all__ = ["OPTIMIZERS", "build_optimizer", "moving_parameters", "set_rate"]

_MOMENTUM = 0.9
_FACTOR = "rate_factor"

# What reads the last map: new where a network starts from the weights of another task.
_HEAD = ("pool", "reduce", "fc", "bottleneck", "classifier")

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=_MOMENTUM, nesterov=True),
}
"""Optimizers by name, fused into one kernel; sgd has Nesterov's momentum of 0.9."""


def build_optimizer(model: nn.Module, loss: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over everything in network and loss that is trained.

    Args:
        model: the children "pool", "reduce", "fc", "bottleneck" and "classifier" are its head, all else is
            its backbone.
        loss: its parameters go with the head.
        recipe: names optimizer, rates and weight decay.
    """
    body: list[nn.Parameter] = []
    head = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (head if name.split(".")[0] in _HEAD else body).append(parameter)
    groups: Iterable[dict[str, Any]] = (
        {"params": body, _FACTOR: recipe.backbone_rate},
        {"params": head, _FACTOR: 1.0},
    )
    optimizer = OPTIMIZERS[recipe.optimizer](
        [group for group in groups if group["params"]],
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    if recipe.optimizer == "sgd":
        # Torch would leave its momentum uninitialised where the first scaled step of fp16 is skipped.
        for parameter in (one for group in optimizer.param_groups for one in group["params"]):
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def moving_parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """What an optimizer of `build_optimizer` moves: groups whose share of the rate is 0 are left out."""
    return [one for group in optimizer.param_groups if group[_FACTOR] for one in group["params"]]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group of an optimizer of `build_optimizer` its share of `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[_FACTOR]
