"""The physically smaller network that a plan leaves."""

import copy
import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.models.modes import evaluating
from reid.models.network import ReIDNetwork
from reid.prune.plan import PrunePlan
from reid.prune.units import PruneUnit

__all__ = ["MAX_SLIM_DIFFERENCE", "Widen", "slim", "slim_difference", "slim_tolerance"]

MAX_SLIM_DIFFERENCE = 1e-4
"""Largest difference between the embeddings of the slim and the masked network."""

Side = Literal["in", "out"]


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
    _narrow(small, plan, [unit for unit in plan.units if unit.kind == "group"])
    # Whether scattering pays depends on how far the convolution's inputs have been narrowed.
    scattered = [unit for unit in plan.units if unit.kind == "scatter" and plan.removed(unit)]
    scattered = [unit for unit in scattered if _scatter_pays(small, unit, len(plan.kept[unit.name]))]
    _narrow(small, plan, scattered)
    for unit in scattered:
        last = (unit.norms or unit.convs)[-1]
        layer = small.get_submodule(last)
        widen = Widen(plan.kept[unit.name], unit.width).to(next(layer.parameters()).device)
        small.set_submodule(last, nn.Sequential(layer, widen))
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


def slim_tolerance(masked: ReIDNetwork, images: Tensor) -> float:
    """The largest `slim_difference` that rounding explains: 1e-4 of the largest number of an embedding, if above 1.

    Infinite or NaN where the network gives such numbers.
    """
    largest = float(_embed(masked, images).abs().max())
    return MAX_SLIM_DIFFERENCE * (1.0 if largest <= 1 else largest)


def _scatter_pays(model: nn.Module, unit: PruneUnit, kept: int) -> bool:
    """Whether the narrow convolution and the way back take fewer MACs than the full one."""
    conv = cast(nn.Conv2d, model.get_submodule(unit.convs[0]))
    per_channel = conv.in_channels * math.prod(conv.kernel_size)
    return kept * per_channel + kept * unit.width < unit.width * per_channel


def _narrow(model: nn.Module, plan: PrunePlan, units: Sequence[PruneUnit]) -> None:
    """Take from every layer what its units lose, together: a concatenation's reader belongs to many units."""
    sides: dict[tuple[str, Side], Tensor] = {}
    for unit in units:
        removed = torch.tensor(plan.removed(unit), dtype=torch.long)
        layers: dict[Side, tuple[str, ...]] = {"out": (*unit.convs, *unit.norms), "in": unit.readers}
        for side, names in layers.items():
            for name in names:
                span = unit.span(name)
                stays = sides.setdefault((name, side), torch.ones(span.of, dtype=torch.bool))
                stays[removed + span.first] = False
    for (name, side), stays in sides.items():
        if not stays.all():
            _keep_side(model.get_submodule(name), side, stays.nonzero().flatten())


def _keep_side(layer: nn.Module, side: Side, channels: Tensor) -> None:
    count = len(channels)
    if isinstance(layer, nn.Conv2d):
        if layer.groups > 1:
            layer.groups = layer.in_channels = count
        setattr(layer, f"{side}_channels", count)
    elif isinstance(layer, nn.Linear):
        setattr(layer, f"{side}_features", count)
    else:
        cast(nn.BatchNorm2d, layer).num_features = count
    for name in ("weight", "bias", "running_mean", "running_var") if side == "out" else ("weight",):
        _keep(layer, name, channels, dim=0 if side == "out" else 1)


def _keep(layer: nn.Module, name: str, channels: Tensor, dim: int) -> None:
    """Replace a parameter or buffer by the part at `channels`."""
    whole = cast(Tensor | None, getattr(layer, name, None))
    if whole is None:
        return
    part = whole.detach().index_select(dim, channels.to(whole.device)).contiguous()
    if isinstance(whole, nn.Parameter):
        setattr(layer, name, nn.Parameter(part, requires_grad=whole.requires_grad))
    else:
        layer.register_buffer(name, part)


def _embed(model: ReIDNetwork, images: Tensor) -> Tensor:
    with evaluating(model), torch.no_grad():
        return cast(Tensor, model(images))
