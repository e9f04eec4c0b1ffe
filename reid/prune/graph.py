"""Which layers hold which channels of each other: the dependency graph of Torch-Pruning, read into plain values."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch_pruning
from torch import Tensor, nn

from reid.models.ibn import InstanceBatchNorm
from reid.models.network import ReIDNetwork
from reid.torchvision_compat import torchvision

__all__ = ["NORMS", "ChannelGraph", "Holding", "Role"]

Role = Literal["writer", "norm", "reader"]
NORMS = (nn.BatchNorm2d, nn.BatchNorm1d, nn.InstanceNorm2d)
"""Normalisations whose statistics of a channel are that channel's own."""

_SWIN = torchvision.models.swin_transformer

# What torch-pruning misreads, and a layer that ties the same channels: it takes the outputs of a split in the
# wrong order, and loses its way in shifted windows.
_STAND_INS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    InstanceBatchNorm: lambda norm: nn.BatchNorm2d(norm.IN.num_features + norm.BN.num_features),
    _SWIN.ShiftedWindowAttention: lambda attention: nn.Linear(
        attention.qkv.in_features, attention.proj.out_features
    ),
    _SWIN.PatchMerging: lambda merging: nn.Linear(merging.dim, merging.reduction.out_features),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Channels of a group that one layer holds.

    Attributes:
        layer: name.
        role: what the layer does with them.
        start: the first of them within the group.
        first: the first of them within the layer.
        count: how many, ascending and without gaps in both.
        of: all channels of the layer on that side.
    """

    layer: str
    role: Role
    start: int
    first: int
    count: int
    of: int


class ChannelGraph:
    """The groups of a network.

    Args:
        model: left as it is.

    Attributes:
        refused: why a group cannot be narrowed, by the name of the layer that wrote it.

    Source: Fang et al., DepGraph: Towards Any Structural Pruning, CVPR 2023, section 3.2.
    """

    def __init__(self, model: ReIDNetwork) -> None:
        self.refused: dict[str, str] = {}
        self._model = model
        twin = copy.deepcopy(model).cpu().requires_grad_(True)
        for name, module in list(twin.named_modules()):
            if type(module) in _STAND_INS:
                twin.set_submodule(name, _STAND_INS[type(module)](module))
        self._names: dict[nn.Module, str] = {module: name for name, module in twin.named_modules()}
        with torch.enable_grad():
            self._graph = torch_pruning.DependencyGraph().build_dependency(
                twin, torch.zeros(2, 3, *model.example_size), forward_fn=_classify, verbose=False
            )

    def groups(self) -> Iterator[list[Holding]]:
        """All groups of channels that can be narrowed, in the order of the layers that write them first."""
        done: set[str] = set()
        for module, name in self._names.items():
            if name in done or not isinstance(module, nn.Conv2d | nn.Linear) or _logits(name):
                continue
            if module not in self._graph.module2node:
                continue  # the embedding does not need it
            group = self._graph.get_pruning_group(
                module,
                self._graph.get_pruner_of_module(module).prune_out_channels,
                list(range(_outputs(module))),
            )
            try:
                holdings = [held for item in group for held in self._holdings(item)]
            except _WholeError as reason:
                self.refused[name] = str(reason)
                continue
            # A layer that writes a part of the group only begins a group of its own.
            done |= {one.layer for one in holdings if one.role == "writer" and one.count == one.of}
            yield list(dict.fromkeys(holdings))

    def norms_behind(self, layer: str) -> tuple[str, ...]:
        """The normalisations that read the output of a layer directly."""
        node = next(node for module, node in self._graph.module2node.items() if self._name(module) == layer)
        return tuple(self._name(after.module) for after in node.outputs if isinstance(after.module, NORMS))

    def _holdings(self, item: Any) -> list[Holding]:
        layer = item.dep.target.module
        name = self._name(layer)
        writes = self._graph.is_out_channel_pruning_fn(item.dep.handler)
        if isinstance(layer, nn.Conv2d) and layer.groups not in (1, layer.out_channels):
            raise _WholeError(f"{name} convolves in {layer.groups} groups")
        if isinstance(layer, nn.Conv2d | nn.Linear):
            side = _outputs(layer) if writes else _inputs(layer)
            return [_holding(name, "writer" if writes else "reader", item, side)]
        if isinstance(layer, NORMS):
            return self._norms(_holding(name, "norm", item, layer.num_features))
        if isinstance(layer, nn.Parameter) or next(layer.parameters(), None) is not None:
            raise _WholeError(f"{name or 'a bare parameter'} ({type(layer).__name__}) lies over the channels")
        return []

    def _norms(self, held: Holding) -> list[Holding]:
        """`held`, or its two halves where it stands in for two normalisations."""
        norm = self._model.get_submodule(held.layer)
        if not isinstance(norm, InstanceBatchNorm):
            return [held]
        if held.count != held.of:
            raise _WholeError(f"{held.layer} normalises a part of the channels")
        half, rest = norm.IN.num_features, norm.BN.num_features
        return [
            Holding(layer=f"{held.layer}.IN", role="norm", start=0, first=0, count=half, of=half),
            Holding(layer=f"{held.layer}.BN", role="norm", start=half, first=0, count=rest, of=rest),
        ]

    def _name(self, module: nn.Module) -> str:
        """Name of a layer, or "" for an operation without one."""
        return self._names.get(module, "")


class _WholeError(Exception):
    """A group cannot be narrowed."""


def _holding(name: str, role: Role, item: Any, of: int) -> Holding:
    inside, root = list(item.idxs), list(item.root_idxs)
    first, start, count = inside[0], root[0], len(root)
    if inside != list(range(first, first + count)) or root != list(range(start, start + count)):
        raise _WholeError(f"{name} reads the channels in another order or through a flattened map")
    return Holding(layer=name, role=role, start=start, first=first, count=count, of=of)


def _logits(name: str) -> bool:
    """Whether a layer writes class scores: they are what training wants, not channels."""
    return name.split(".")[0] == "classifier"


def _outputs(layer: nn.Module) -> int:
    return layer.out_channels if isinstance(layer, nn.Conv2d) else cast(nn.Linear, layer).out_features


def _inputs(layer: nn.Module) -> int:
    return layer.in_channels if isinstance(layer, nn.Conv2d) else cast(nn.Linear, layer).in_features


def _classify(model: ReIDNetwork, images: Tensor) -> Tensor:
    logits: Tensor = model.classifier(model.embed(images)[1])
    return logits
