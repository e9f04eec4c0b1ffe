"""What can be pruned together: the units of a network.

Residual additions, gates and depthwise convolutions tie the output channels of several layers: channel i can
only go from all of them at once. Such layers form one unit. Concatenations and splits let a unit hold a part of a
layer's channels.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, cast

from torch import nn

from reid.errors import ConfigError
from reid.models.network import ReIDNetwork
from reid.prune.graph import ChannelGraph, Holding, Role

__all__ = ["PruneUnit", "Scope", "Span", "find_units"]

Scope = Literal["inner", "grouped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where the channels of a unit lie in a layer that has others too.

    Attributes:
        first: the first of them.
        of: all channels of the layer on that side.
    """

    first: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneUnit:
    """Layers whose output channels are kept or removed together.

    Attributes:
        name: that of its first convolution; with "#2" and so on for further units of the same.
        kind: "group": removed channels vanish from writers and readers alike. "scatter": the convolution
            shrinks, and its channels are put back to their places in the full width behind it.
        block: residual block that holds all its layers, or None.
        width: channels of the dense network, >= 1.
        convs: convolutions (in transformers' blocks linear layers) that write the channels, depthwise ones among
            them; in the order of the network.
        norms: batch and instance normalisations over the channels.
        readers: convolutions and linear layers that read the channels; none for "scatter".
        spans: by layer, where a layer has other channels besides; a layer not named has just these.
    """

    name: str
    kind: Literal["group", "scatter"]
    block: str | None
    width: int
    convs: tuple[str, ...]
    norms: tuple[str, ...]
    readers: tuple[str, ...]
    spans: Mapping[str, Span] = field(default_factory=dict)

    @property
    def is_embedding(self) -> bool:
        """Whether the channels are of the network's embedding: the classifier reads them."""
        return "classifier" in self.readers

    def span(self, layer: str) -> Span:
        """Where the unit's channels lie in one of its layers."""
        return self.spans.get(layer) or Span(first=0, of=self.width)


def find_units(model: ReIDNetwork, scope: Scope) -> tuple[PruneUnit, ...]:
    """The units of a dense network, in the order of their first convolutions.

    Groups that cannot be narrowed exactly stay whole: those under a layer normalisation, whose statistics mix all
    channels (the streams of ConvNeXt and Swin), those of grouped convolutions that are not depthwise, and those that
    a linear layer outside a block writes (embeddings of a linear neck).

    Args:
        model: left as it is.
        scope: "inner" keeps the residual stream, or what is concatenated, at full width: units inside one
            block, and one "scatter" unit per block for the convolution that adds to the stream, unless it is
            pointwise: putting the channels back would cost more than they save. "grouped": every group of tied
            channels, the stream, the stem and the embedding of a network without a linear neck among them.

    Raises:
        ConfigError: unknown scope, or nothing can be narrowed; says why.
    """
    if scope not in ("inner", "grouped"):
        raise ConfigError(f"unknown scope {scope!r}; known: grouped, inner")
    graph, order = ChannelGraph(model), _Order(model)
    groups = [unit for group in graph.groups() for unit in _units(group, order, graph.refused)]
    found = groups if scope == "grouped" else [*_inside(groups), *_scattered(groups, model, graph)]
    if not found:
        reasons = "; ".join(graph.refused.values()) or "no block has a layer of its own"
        raise ConfigError(
            f"no layer of {type(model).__name__} can be narrowed in scope {scope}: {reasons}; "
            "use another scope or backbone, or method none"
        )
    return _named(sorted(found, key=lambda unit: order.position[unit.convs[0]]))


class _Order:
    """Where layers lie in a network."""

    def __init__(self, model: ReIDNetwork) -> None:
        self.position = {name: at for at, (name, _) in enumerate(model.named_modules())}
        self._blocks = model.blocks
        self._linear = {name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}

    def sorted(self, layers: Sequence[str]) -> tuple[str, ...]:
        return tuple(sorted(set(layers), key=self.position.__getitem__))

    def block_of(self, layers: Sequence[str]) -> str | None:
        inside = (block for block in self._blocks if all(layer.startswith(f"{block}.") for layer in layers))
        return next(inside, None)

    def has_linear(self, layers: Sequence[str]) -> bool:
        return not self._linear.isdisjoint(layers)


def _units(group: Sequence[Holding], order: _Order, refused: dict[str, str]) -> Iterator[PruneUnit]:
    """The units of a group: one, or more where layers hold different parts of it."""
    edges = sorted({edge for held in group for edge in (held.start, held.start + held.count)})
    for start, end in pairwise(edges):
        part = [held for held in group if held.start <= start and end <= held.start + held.count]
        layers: dict[Role, tuple[str, ...]] = {
            role: order.sorted([held.layer for held in part if held.role == role])
            for role in ("writer", "norm", "reader")
        }
        everything = [name for names in layers.values() for name in names]
        block = order.block_of(everything)
        spans = {(held.layer, Span(first=held.first + start - held.start, of=held.of)) for held in part}
        twice = [name for name, times in Counter(name for name, _ in spans).items() if times > 1]
        if twice:
            refused[layers["writer"][0]] = f"{twice[0]} reads the channels twice through a concatenation"
        elif block is None and order.has_linear(layers["writer"]):
            refused[layers["writer"][0]] = "a linear layer outside a block writes the channels"
        else:
            width = end - start
            yield PruneUnit(
                name=layers["writer"][0], kind="group", block=block, width=width,
                convs=layers["writer"], norms=layers["norm"], readers=layers["reader"],
                spans={name: span for name, span in sorted(spans, key=lambda pair: order.position[pair[0]])
                       if span != Span(first=0, of=width)},
            )  # fmt: skip


def _inside(groups: Sequence[PruneUnit]) -> list[PruneUnit]:
    return [unit for unit in groups if unit.block is not None]


def _scattered(groups: Sequence[PruneUnit], model: ReIDNetwork, graph: ChannelGraph) -> Iterator[PruneUnit]:
    """The convolutions that add to a stream, which several of them write."""
    fed_inside = {reader: unit.block for unit in _inside(groups) for reader in unit.readers}
    streams = [unit for unit in groups if unit.block is None and len(unit.convs) > 1 and not unit.spans]
    for stream in streams:
        for conv in stream.convs:
            # A downsampling convolution reads the stream itself, so no unit of its block feeds it.
            if conv not in fed_inside or cast(nn.Conv2d, model.get_submodule(conv)).kernel_size == (1, 1):
                continue
            norms = tuple(name for name in graph.norms_behind(conv) if name in stream.norms)
            yield PruneUnit(
                name=conv, kind="scatter", block=fed_inside[conv], width=stream.width, convs=(conv,),
                norms=norms, readers=(),
            )  # fmt: skip


def _named(units: Sequence[PruneUnit]) -> tuple[PruneUnit, ...]:
    """Units that begin with the same convolution get numbers, which stay when the network is narrowed."""
    seen: Counter[str] = Counter()
    named = []
    for unit in units:
        seen[unit.name] += 1
        number = seen[unit.name]
        named.append(unit if number == 1 else replace(unit, name=f"{unit.name}#{number}"))
    return tuple(named)
