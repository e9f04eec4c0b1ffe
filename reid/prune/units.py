"""What can be pruned together: the units of a network.

Residual additions, gates and depthwise convolutions tie the output channels of several layers: channel i can
only go from all of them at once. Such layers form one unit.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch_pruning
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.models.network import ReIDNetwork

__all__ = ["PruneUnit", "Scope", "find_units"]

Scope = Literal["inner", "grouped"]

_EXAMPLE_SIZE = (2, 3, 64, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneUnit:
    """Layers whose output channels are kept or removed together.

    Attributes:
        name: that of its first convolution.
        kind: "group": removed channels vanish from writers and readers alike. "scatter": the convolution
            shrinks, and its channels are put back to their places in the full width behind it.
        block: residual block that holds all its layers, or None.
        width: channels of the dense network, >= 1.
        convs: convolutions that write the channels, depthwise ones among them; in the order of the network.
        norms: batch normalisations over the channels.
        readers: convolutions and linear layers that read the channels; none for "scatter".
    """

    name: str
    kind: Literal["group", "scatter"]
    block: str | None
    width: int
    convs: tuple[str, ...]
    norms: tuple[str, ...]
    readers: tuple[str, ...]

    @property
    def is_embedding(self) -> bool:
        """Whether the channels are the network's embedding: the classifier reads them."""
        return "classifier" in self.readers


def find_units(model: ReIDNetwork, scope: Scope) -> tuple[PruneUnit, ...]:
    """The units of a dense network, in the order of their first convolutions.

    Args:
        model: left as it is.
        scope: "inner" keeps the residual stream at full width: units inside one block, and one "scatter"
            unit per block for the convolution that adds to the stream, unless it is pointwise: putting
            the channels back would cost more than they save. "grouped": every group of tied
            channels that only convolutions write, the stream, the stem and the embedding of a network
            without a linear neck among them; a group that a linear layer writes stays whole.

    Raises:
        ConfigError: unknown scope, or a layer that cannot be narrowed.

    Source: groups by Torch-Pruning (Fang et al., DepGraph, CVPR 2023, section 3.2).
    """
    if scope not in ("inner", "grouped"):
        raise ConfigError(f"unknown scope {scope!r}; known: grouped, inner")
    trace = _Trace(model)
    groups = trace.groups()
    if scope == "grouped":
        return trace.in_order(groups)
    inside = [unit for unit in groups if unit.block is not None]
    fed_inside = {reader: unit.block for unit in inside for reader in unit.readers}
    crossing = [unit for unit in groups if unit.block is None]
    written = [
        trace.scatter(conv, fed_inside[conv], unit)
        for unit in crossing
        for conv in unit.convs
        # A downsampling convolution reads the stream itself, so no unit of its block feeds it.
        if conv in fed_inside and cast(nn.Conv2d, model.get_submodule(conv)).kernel_size != (1, 1)
    ]
    return trace.in_order([*inside, *written])


class _Trace:
    """The dependency graph of a copy of a network, by layer name."""

    def __init__(self, model: ReIDNetwork) -> None:
        twin = copy.deepcopy(model).cpu().requires_grad_(True)
        self._blocks = model.blocks
        self._names: dict[nn.Module, str] = {module: name for name, module in twin.named_modules()}
        self._position = {name: at for at, name in enumerate(self._names.values())}
        with torch.enable_grad():
            self._graph = torch_pruning.DependencyGraph().build_dependency(
                twin, torch.zeros(_EXAMPLE_SIZE), forward_fn=_classify, verbose=False
            )

    def groups(self) -> list[PruneUnit]:
        found = (self._unit(group) for group in self._graph.get_all_groups(root_module_types=[nn.Conv2d]))
        return [unit for unit in found if unit is not None]

    def in_order(self, units: Sequence[PruneUnit]) -> tuple[PruneUnit, ...]:
        return tuple(sorted(units, key=lambda unit: self._position[unit.name]))

    def scatter(self, conv: str, block: str | None, stream: PruneUnit) -> PruneUnit:
        """The unit of one convolution that adds to `stream`."""
        node = next(node for module, node in self._graph.module2node.items() if self._name(module) == conv)
        followers = [self._name(follower.module) for follower in node.outputs]
        norms = tuple(name for name in followers if name in stream.norms)
        return PruneUnit(
            name=conv, kind="scatter", block=block, width=stream.width, convs=(conv,), norms=norms, readers=()
        )

    def _unit(self, group: Any) -> PruneUnit | None:
        """The unit of a group of Torch-Pruning, or None where a linear layer writes the channels."""
        roles: dict[str, list[str]] = {"conv": [], "norm": [], "reader": []}
        width = len(group[0].idxs)
        for item in group:
            role = self._role(item.dep)
            if role == "linear":
                return None
            if role != "operation":
                name = self._name(item.dep.target.module)
                _demand_same_channels(name, item, width)
                roles[role].append(name)
        convs, norms, readers = (self._sorted(names) for names in roles.values())
        return PruneUnit(
            name=convs[0], kind="group", block=self._block_of((*convs, *norms, *readers)), width=width,
            convs=convs, norms=norms, readers=readers,
        )  # fmt: skip

    def _role(self, dependency: Any) -> str:
        layer = dependency.target.module
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            return "norm"
        writes = self._graph.is_out_channel_pruning_fn(dependency.handler)
        if isinstance(layer, nn.Conv2d) and layer.groups in (1, layer.out_channels):
            return "conv" if writes else "reader"
        if isinstance(layer, nn.Linear):
            return "linear" if writes else "reader"
        if isinstance(layer, nn.Parameter) or next(layer.parameters(), None) is not None:
            raise ConfigError(
                f"cannot narrow {self._name(layer) or 'a bare parameter'} ({type(layer).__name__}); "
                "use another backbone or method none"
            )
        return "operation"

    def _name(self, module: nn.Module) -> str:
        """Name of a layer, or "" for an operation without one."""
        return self._names.get(module, "")

    def _sorted(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(sorted(set(names), key=self._position.__getitem__))

    def _block_of(self, layers: Sequence[str]) -> str | None:
        for block in self._blocks:
            if all(layer.startswith(f"{block}.") for layer in layers):
                return block
        return None


def _classify(model: ReIDNetwork, images: Tensor) -> Tensor:
    logits: Tensor = model.classifier(model.embed(images)[1])
    return logits


def _demand_same_channels(name: str, item: Any, width: int) -> None:
    """Channel i of the unit must be channel i of every layer of it."""
    same = list(range(width))
    if list(item.idxs) != same or list(item.root_idxs) != same:
        raise ConfigError(
            f"{name} reads channels through a concatenation or a flattened map, which cannot be narrowed; "
            "use another backbone or method none"
        )
