"""What an exported network expects of an image; every later reader follows this and nothing else."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from reid.config import reject_unknown
from reid.errors import ConfigError

__all__ = ["InputSpec"]

_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """How images become the network's input, and how wide its embedding is.

    Attributes:
        height: pixels, 32 to 1024.
        width: pixels, 16 to 1024.
        mean: of the channels as fractions of 255, in the order of `channel_order`.
        std: of the channels as fractions of 255, above 0.
        embedding_dim: width of the embedding, >= 1.
        channel_order: "RGB".
        resize: filter that brings an image to this size, antialiased: "bilinear".
        flip: the embeddings of the image and of its mirror image are added and normalised again.
    """

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    embedding_dim: int
    channel_order: str = "RGB"
    resize: str = "bilinear"
    flip: bool = False

    def __post_init__(self) -> None:
        _demand("height", self.height, type(self.height) is int and 32 <= self.height <= 1024, "32 to 1024")
        _demand("width", self.width, type(self.width) is int and 16 <= self.width <= 1024, "16 to 1024")
        _demand("mean", self.mean, _is_triple(self.mean), "three finite numbers")
        _demand("std", self.std, _is_triple(self.std) and min(self.std) > 0, "three numbers above 0")
        dim = self.embedding_dim
        _demand("embedding_dim", dim, type(dim) is int and dim >= 1, "a whole number above 0")
        _demand("channel_order", self.channel_order, self.channel_order == "RGB", "RGB")
        _demand("resize", self.resize, self.resize == "bilinear", "bilinear")
        _demand("flip", self.flip, type(self.flip) is bool, "true or false")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: a key is unknown, missing or out of range, or the schema is newer than this version.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        reject_unknown(values, ["schema", *names], "key of the input specification")
        missing = [name for name in ("schema", *names) if name not in values]
        if missing:
            raise ConfigError(f"the input specification lacks {', '.join(missing)}")
        if values["schema"] != _SCHEMA:
            raise ConfigError(
                f"input specification schema {values['schema']!r}, this version reads {_SCHEMA}"
            )
        plain = {name: values[name] for name in names}
        for name in ("mean", "std"):
            if isinstance(plain[name], list):
                plain[name] = tuple(plain[name])
        return cls(**plain)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = dataclasses.asdict(self) | {"schema": _SCHEMA}
        return values | {"mean": list(self.mean), "std": list(self.std)}

    def normalise(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn decoded images into the network's input.

        Args:
            images: (N, height, width, 3) uint8, RGB.

        Returns:
            (N, 3, height, width) float32: (pixel / 255 - mean) / std.

        Raises:
            ConfigError: the images are floats, i.e. normalised already, or of another shape.
        """
        self.check(images)
        out = np.empty((len(images), 3, self.height, self.width), dtype=np.float32)
        levels = np.arange(256) / 255
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            table = ((levels - mean) / std).astype(np.float32)
            np.take(table, images[..., channel], out=out[:, channel], mode="clip")
        return out

    def check(self, images: NDArray[Any]) -> None:
        """Refuse images that `normalise` would misread.

        Raises:
            ConfigError: names what was given and what is wanted.
        """
        if np.issubdtype(images.dtype, np.floating):
            raise ConfigError(
                f"images are {images.dtype}, so already normalised; give uint8 RGB, the runtime normalises"
            )
        if images.dtype != np.uint8:
            raise ConfigError(f"images must be uint8, got {images.dtype}")
        if images.ndim != 4 or images.shape[3] != 3:
            raise ConfigError(f"images must be (N, height, width, 3), got {images.shape}")
        if images.shape[1:3] != (self.height, self.width):
            given = f"{images.shape[1]}x{images.shape[2]}"
            raise ConfigError(
                f"images are {given} (height x width), the artifact takes {self.height}x{self.width}; "
                f"resize them with filter {self.resize}"
            )

    def views(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
        """The images, and with `flip` their mirror images too; their embeddings are to be added.

        Args:
            images: (N, height, width, 3) uint8.
        """
        return (images, images[:, :, ::-1]) if self.flip else (images,)


def _is_triple(values: object) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == 3
        and all(type(v) in (int, float) and math.isfinite(v) for v in values)
    )


def _demand(name: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise ConfigError(f"{name} of the input specification must be {wanted}, got {value!r}")
