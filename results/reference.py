"""Embeddings of generated images that a package carries, so that its network can be checked anywhere.

The images come from a formula in whole numbers: the same on every machine and in every version of numpy, and
no picture of a person has to be passed on.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.errors import ArtifactError, UnverifiedError
from reid.files import read_json, write_json

__all__ = ["Embed", "compare_reference", "reference_images", "write_reference"]

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

_SCHEMA = 1
_SEED = 1
_COUNT = 4
# A package comes from anywhere: neither its file nor what that asks to be generated must fill the memory.
_MOST_PIXELS = _COUNT * 1024 * 1024
_MOST_BYTES = 4_000_000


def reference_images(seed: int, count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Smooth bands of colour, different in every image and channel.

    With n the image, y the row, x the column and c the channel, all from 0, and whole-number division //:
        phase = 131*seed + 89*n + 53*c + (2 + n % 5)*y + (3 + (n + c) % 7)*x + x*y // (8 + n)
        value = 255 - |phase % 510 - 255|

    Args:
        seed: >= 0.
        count: images, >= 1.
        height: rows, >= 1.
        width: columns, >= 1.

    Returns:
        (count, height, width, 3) uint8, RGB.
    """
    n, y, x, c = np.ogrid[:count, :height, :width, :3]
    phase = 131 * seed + 89 * n + 53 * c + (2 + n % 5) * y + (3 + (n + c) % 7) * x + x * y // (8 + n)
    images: NDArray[np.uint8] = (255 - np.abs(phase % 510 - 255)).astype(np.uint8)
    return images


def write_reference(path: Path, input_size: tuple[int, int], embed: Embed) -> None:
    """Embed the generated images and write what `compare_reference` needs.

    Args:
        path: JSON file to write.
        input_size: (height, width) that the network takes.
        embed: (N, H, W, 3) uint8 RGB -> (N, D) float32.

    Raises:
        ArtifactError: the embeddings are not (N, D), not finite, or one of them is zero.
        ResourceError: the file cannot be written.
    """
    images = reference_images(_SEED, _COUNT, *input_size)
    embeddings = _checked(embed(images))
    content = {
        "schema": _SCHEMA,
        "images": {
            "formula": "results.reference.reference_images: phase = 131*seed + 89*n + 53*c + (2 + n % 5)*y"
            " + (3 + (n + c) % 7)*x + x*y // (8 + n); value = 255 - |phase % 510 - 255|;"
            " image n, row y, column x, channel c (RGB), whole numbers",
            "seed": _SEED,
            "count": _COUNT,
            "height": input_size[0],
            "width": input_size[1],
            "sha256": hashlib.sha256(images.tobytes()).hexdigest(),
        },
        # The shortest decimals that give the same float32 back.
        "embeddings": [[float(str(value)) for value in row] for row in embeddings],
    }
    write_json(path, content)


def compare_reference(path: Path, embed: Embed) -> float:
    """Smallest cosine between the stored embeddings and those that `embed` gives for the same images.

    Raises:
        UnverifiedError: the file is not as `write_reference` leaves it, or the shapes differ.
    """
    stored, images = _read(path)
    embeddings = _checked(embed(images))
    if embeddings.shape != stored.shape:
        raise UnverifiedError(f"{path}: embeddings are {stored.shape}, the network gives {embeddings.shape}")
    return float((_unit(stored) * _unit(embeddings)).sum(axis=1).min())


def _read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        content: dict[str, Any] = read_json(path)
        spec = content["images"]
        sides = [spec[name] for name in ("count", "height", "width")]
        if not all(type(side) is int and side >= 1 for side in sides) or math.prod(sides) > _MOST_PIXELS:
            raise ValueError("it asks for more images than there are in a package")
        images = reference_images(spec["seed"], *sides)
        stored = np.array(content["embeddings"], dtype=np.float32)
        same = hashlib.sha256(images.tobytes()).hexdigest() == spec["sha256"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UnverifiedError(f"{path}: cannot be read as reference embeddings: {error}") from error
    if content.get("schema") != _SCHEMA or not same or stored.ndim != 2:
        raise UnverifiedError(
            f"{path}: was written by another version of reid-pareto; verify it with that one"
        )
    return stored, images


def _checked(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    if embeddings.ndim != 2 or not np.isfinite(embeddings).all():
        raise ArtifactError(f"the network gives no finite (N, D) embeddings but shape {embeddings.shape}")
    if not np.linalg.norm(embeddings, axis=1).all():
        raise ArtifactError("the network gives a zero embedding for a generated image")
    return embeddings.astype(np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    unit: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return unit
