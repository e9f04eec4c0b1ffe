"""What may be evaluated: an exported file, or weights that torch runs."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.config import Target
from reid.errors import ConfigError
from reid.evaluate.protocol import Protocol
from reid.evaluate.views import Embed, scaled
from reid.models import NetworkOptions, OwnNetwork, ReIDNetwork, build_embedder, demand_input_size
from reid.runtime import open_artifact
from reid.train import embed

__all__ = ["Embedder", "open_file", "open_weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedder:
    """Something that embeds images.

    Attributes:
        embed: as for `retrieve`.
        input_size: (height, width) in pixels that images are decoded to.
        demand_size: raises ConfigError for a (height, width) that `embed` does not take.
        flips: whether `embed` adds the mirror image by itself.
    """

    embed: Embed
    input_size: tuple[int, int]
    demand_size: Callable[[tuple[int, int]], None]
    flips: bool

    def divide(self, protocol: Protocol) -> tuple[Protocol, Protocol]:
        """The protocol that results state, and the part of it that is left to do around `embed`.

        Raises:
            ConfigError: a scale makes images of a size that the network does not take.
        """
        for scale in protocol.scales:
            if scale == 1:
                continue
            try:
                self.demand_size(scaled(self.input_size, scale))
            except ConfigError as error:
                raise ConfigError(f"scales {scale:g}: {error}") from error
        if not self.flips:
            return protocol, protocol
        return dataclasses.replace(protocol, flip=True), dataclasses.replace(protocol, flip=False)


def open_file(model: Path, target: Target) -> Embedder:
    """An exported file on a target.

    Raises:
        ConfigError: the runtime is unknown.
        NoDevice: the runtime cannot use the device.
        ArtifactError: the file cannot be opened.
    """
    runtime = open_artifact(model, target)
    spec = runtime.spec

    def refuse(size: tuple[int, int]) -> None:
        raise ConfigError(
            f"an exported file takes {spec.height}x{spec.width} only; evaluate its weights to use other scales"
        )

    return Embedder(
        embed=runtime.embed, input_size=(spec.height, spec.width), demand_size=refuse, flips=spec.flip
    )


def open_weights(
    weights: Path, backbone: str, input_size: tuple[int, int], options: Mapping[str, Any]
) -> Embedder:
    """A bare state dict in torch, without export.

    Args:
        weights: as for `reid.models.build`.
        backbone: key of `reid.models.BACKBONES`.
        input_size: (height, width) in pixels.
        options: of `reid.models.NetworkOptions`, those that differ from the default.

    Raises:
        ConfigError: unknown backbone or option, a value that an option does not take, weights of another network or
            without layers that embeddings pass through, a size out of range or too small for the backbone, or a
            network of the user's own that does not take such images.
    """
    demand_input_size(backbone, input_size)
    model = build_embedder(backbone, weights, NetworkOptions.from_dict(options))
    width = _own_width(model, input_size)

    def demand_taken(size: tuple[int, int]) -> None:
        demand_input_size(backbone, size)
        if _own_width(model, size) != width:
            raise ConfigError(f"backbone {backbone} embeds images of {size[0]}x{size[1]} in another width")

    return Embedder(
        embed=lambda images: embed(model, images),
        input_size=input_size,
        demand_size=demand_taken,
        flips=False,
    )


def _own_width(model: ReIDNetwork, size: tuple[int, int]) -> int | None:
    """What a network of the user's own gives for images of (height, width); it may fail there."""
    return model.body_shape(size, training=False)[1] if isinstance(model, OwnNetwork) else None
