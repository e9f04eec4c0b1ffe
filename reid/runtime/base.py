"""What every runtime offers: embeddings of decoded images, and something to time."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from reid.config import Target
from reid.errors import NoDevice
from reid.export.spec import InputSpec

__all__ = ["CHUNK", "Opened", "Runtime", "demand_cpu", "unit_length"]

# Throughput is flat from 8 images on (docs/decisions/0004-export-and-int8.md); memory is not.
CHUNK = 16

_Float = TypeVar("_Float", np.float32, np.float64)


def unit_length(rows: NDArray[_Float]) -> NDArray[_Float]:
    """(N, D) embeddings brought to length 1; those of zeros stay."""
    unit: NDArray[_Float] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


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


class Opened(ABC):
    """What all runtimes do alike once the file is open; a subclass runs one batch and sets up its timer.

    Args:
        spec: what the artifact expects of an image.
        scheme: name of its quantization.
        batch: images of one timed call.
    """

    def __init__(self, spec: InputSpec, scheme: str, batch: int) -> None:
        self._spec, self._scheme, self._batch = spec, scheme, batch

    @property
    def spec(self) -> InputSpec:
        """What the artifact expects of an image."""
        return self._spec

    @property
    def scheme(self) -> str:
        """Name of the artifact's quantization in `reid.quantize.SCHEMES`."""
        return self._scheme

    def embed(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Embeddings of decoded images, as `Runtime.embed` says.

        Args:
            images: (N, height, width, 3) uint8, RGB, at the size of `spec`.

        Returns:
            (N, D) float32, each row of length 1.

        Raises:
            ConfigError: floats or another size.
        """
        self._spec.check(images)
        out = np.empty((len(images), self._spec.embedding_dim), dtype=np.float32)
        for start in range(0, len(images), CHUNK):
            total = self._sum_of_views(images[start : start + CHUNK])
            # A single view is of length 1 too, but for the rounding of a half-precision file.
            out[start : start + CHUNK] = unit_length(total)
        return out

    def _sum_of_views(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings (N, D) of some images, those of their mirror images added where the specification says so."""
        views = [self._run(self._spec.normalise(view)) for view in self._spec.views(images)]
        total: NDArray[np.float32] = np.sum(views, axis=0, dtype=np.float32)
        return total

    @abstractmethod
    def timer(self) -> Callable[[], None]:
        """A call that runs the target's batch once, on `_timed_inputs`."""

    @abstractmethod
    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings (N, D) of normalised images (N, 3, height, width)."""

    def _timed_inputs(self) -> list[NDArray[np.float32]]:
        """Each view of the target's batch of fixed random images, normalised beforehand."""
        return [self._spec.normalise(view) for view in self._spec.views(self._timed_images())]

    def _timed_images(self) -> NDArray[np.uint8]:
        """The target's batch of fixed random images."""
        shape = (self._batch, self._spec.height, self._spec.width, 3)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
