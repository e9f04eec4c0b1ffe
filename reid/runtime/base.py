"""What every runtime offers: embeddings of decoded images, and something to time."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reid.config import Target
from reid.errors import NoDevice
from reid.export.spec import InputSpec

__all__ = ["Runtime", "demand_cpu"]


def demand_cpu(target: Target) -> None:
    """Refuse a device that no runtime here offers.

    Raises:
        NoDevice: the target is no CPU.
    """
    if target.device != "cpu":
        raise NoDevice(
            f"target.device {target.device!r}: {target.runtime} runs here on 'cpu' only; set device cpu"
        )


class Runtime(Protocol):
    """An artifact, opened on a target."""

    @property
    def spec(self) -> InputSpec:
        """What the artifact expects of an image; `embed` follows it."""
        ...

    @property
    def scheme(self) -> str:
        """Name of the artifact's quantization in `reid.quantize.SCHEMES`."""
        ...

    def embed(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Embeddings of decoded images.

        Args:
            images: (N, height, width, 3) uint8, RGB, at the size of `spec`; `embed` normalises them.

        Returns:
            (N, D) float32, each row of length 1.

        Raises:
            ConfigError: floats, i.e. images that are normalised already, or another size; names both sizes.
        """
        ...

    def timer(self) -> Callable[[], None]:
        """A call that runs the target's batch once, on fixed random input that is normalised beforehand."""
        ...
