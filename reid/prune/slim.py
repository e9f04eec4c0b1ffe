"""The physically smaller network that a plan leaves."""

import copy
import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.models.network import ReIDNetwork
from reid.prune.plan import PrunePlan
from reid.prune.units import PruneUnit

__all__ = ["Widen", "slim", "slim_difference"]


class Widen(nn.Module):
    """Puts channels back to their places in a wider map; the others are zero.

    A fixed 0/1 convolution: runtimes fuse it with the residual addition that follows, and it beats zero rows,
    gather and scatter (docs/decisions/0002-residual-join.md).

    Args:
        kept: place of each incoming channel, ascending.
        width: channels going out.
    """

    weight: Tensor

    def __init__(self, kept: tuple[int, ...], width: int) -> None:
        super().__init__()
        places = torch.zeros(width, len(kept), 1, 1)
        places[list(kept), list(range(len(kept)))] = 1
        # A buffer: nothing here may be trained, and counting it as parameters would mislead.
        self.register_buffer("weight", places)

    def forward(self, x: Tensor) -> Tensor:
        """(B, len(kept), H, W) to (B, width, H, W)."""
        return F.conv2d(x, self.weight)


def slim(model: ReIDNetwork, plan: PrunePlan) -> ReIDNetwork:
    """A copy of a dense network without the channels that the plan removes.

    Args:
        model: dense network, left as it is; masked by `reid.prune.decay` with factor 0 for equal embeddings.
        plan: its channels.

    Returns:
        A network of the same class, mode and device that shares no tensor with `model`, trains, exports, and
        needs neither `model` nor the plan. A "scatter" unit that loses so little that putting its channels
        back would cost more MACs than it saves stays whole, with its zero filters.

    Raises:
        ConfigError: the plan does not fit `model`.
    """
    plan.validate(model)
    small = copy.deepcopy(model)
    small.zero_grad(set_to_none=True)
    # Whether scattering pays depends on how far the convolution's inputs have been narrowed.
    for unit in sorted(plan.units, key=lambda unit: unit.kind == "scatter"):
        kept = plan.kept[unit.name]
        if len(kept) < unit.width and (unit.kind == "group" or _scatter_pays(small, unit, len(kept))):
            _narrow(small, unit, kept)
    return small


def slim_difference(masked: ReIDNetwork, slimmed: ReIDNetwork, plan: PrunePlan, images: Tensor) -> float:
    """Largest absolute difference between the embeddings of a masked network and its slim copy.

    Both run in eval mode; their modes are restored. Embedding dimensions that the slim network lacks count
    with what the masked network leaves in them, which must be zero.

    Args:
        masked: dense network after `reid.prune.decay` with factor 0.
        slimmed: from `slim(masked, plan)`.
        plan: that of both.
        images: (B, 3, H, W) float32, normalised, on the networks' device.
    """
    wide, narrow = _embed(masked, images), _embed(slimmed, images)
    if plan.kept_embedding is not None:
        restored = torch.zeros_like(wide)
        restored[:, list(plan.kept_embedding)] = narrow
        narrow = restored
    return float((wide - narrow).abs().max())


def _scatter_pays(model: nn.Module, unit: PruneUnit, kept: int) -> bool:
    """Whether the narrow convolution and the way back take fewer MACs than the full one."""
    conv = cast(nn.Conv2d, model.get_submodule(unit.convs[0]))
    per_channel = conv.in_channels * math.prod(conv.kernel_size)
    return kept * per_channel + kept * unit.width < unit.width * per_channel


def _narrow(model: nn.Module, unit: PruneUnit, kept: tuple[int, ...]) -> None:
    channels = torch.tensor(kept, dtype=torch.long)
    for name in unit.convs:
        _keep_outputs(cast(nn.Conv2d, model.get_submodule(name)), channels)
    for name in unit.norms:
        _keep_features(cast(nn.BatchNorm2d, model.get_submodule(name)), channels)
    for name in unit.readers:
        _keep_inputs(cast(nn.Conv2d | nn.Linear, model.get_submodule(name)), channels)
    if unit.kind == "scatter":
        last = (unit.norms or unit.convs)[-1]
        layer = model.get_submodule(last)
        device = next(layer.parameters()).device
        model.set_submodule(last, nn.Sequential(layer, Widen(kept, unit.width).to(device)))


def _keep_outputs(conv: nn.Conv2d, channels: Tensor) -> None:
    if conv.groups > 1:
        conv.groups = conv.in_channels = len(channels)
    conv.out_channels = len(channels)
    _keep(conv, "weight", channels)
    _keep(conv, "bias", channels)


def _keep_features(norm: nn.BatchNorm2d, channels: Tensor) -> None:
    norm.num_features = len(channels)
    for name in ("weight", "bias", "running_mean", "running_var"):
        _keep(norm, name, channels)


def _keep_inputs(layer: nn.Conv2d | nn.Linear, channels: Tensor) -> None:
    if isinstance(layer, nn.Linear):
        layer.in_features = len(channels)
    else:
        layer.in_channels = len(channels)
    _keep(layer, "weight", channels, dim=1)


def _keep(layer: nn.Module, name: str, channels: Tensor, dim: int = 0) -> None:
    """Replace a parameter or buffer by the part at `channels`."""
    whole = cast(Tensor | None, getattr(layer, name))
    if whole is None:
        return
    part = whole.detach().index_select(dim, channels.to(whole.device)).contiguous()
    if isinstance(whole, nn.Parameter):
        setattr(layer, name, nn.Parameter(part, requires_grad=whole.requires_grad))
    else:
        layer.register_buffer(name, part)


def _embed(model: ReIDNetwork, images: Tensor) -> Tensor:
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return cast(Tensor, model(images))
    finally:
        model.train(was_training)
