"""One embedding out of several views of an image: mirrored, and at several sizes."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reid.evaluate.scores import unit_rows

__all__ = ["Embed", "over_views", "resized", "scaled"]

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From (B, H, W, 3) uint8 RGB to (B, D) float32, like a runtime's `embed`."""


def over_views(embed: Embed, *, flip: bool, scales: Sequence[float]) -> Embed:
    """An embedding that adds the unit embeddings of all views of an image and normalises the sum.

    Args:
        embed: of one view; must take images of other sizes if `scales` asks for them.
        flip: mirror images are views too.
        scales: areas relative to the image given. Every size is made from that image, none from another size.

    Returns:
        `embed` itself where there is one view only.
    """
    if not flip and tuple(scales) == (1.0,):
        return embed

    def embed_views(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        total: Any = 0
        for scale, mirrored in product(scales, (False, True) if flip else (False,)):
            view = resized(images, scale)
            rows = np.asarray(embed(view[:, :, ::-1] if mirrored else view))
            total = total + unit_rows(rows, np.dtype(np.float32), "embeddings")
        unit: NDArray[np.float32] = unit_rows(total, np.dtype(np.float32), "embeddings")
        return unit

    return embed_views


def scaled(size: Sequence[int], scale: float) -> tuple[int, int]:
    """(height, width) with `scale` times the area of `size`, rounded, at least 1."""
    height, width = (max(1, round(side * math.sqrt(scale))) for side in size)
    return height, width


def resized(images: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Images with `scale` times the area, by Pillow's antialiased bicubic filter; 1 gives `images` themselves.

    Args:
        images: (B, H, W, 3) uint8 RGB.
        scale: > 0; both sides are multiplied by its square root and rounded.
    """
    if scale == 1:
        return images
    height, width = scaled(images.shape[1:3], scale)
    return np.stack(
        [
            np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
            for image in images
        ]
    )
