"""Variants of the training images that a teacher embeds before the training, with `teacher_view: drawn`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reid.config import TrialConfig
from reid.train.augment import vary_pixels
from reid.train.variants import DRAWING, drawn_variants

__all__ = ["SETTINGS", "drawn_embedder", "drawn_parameters"]

SETTINGS = ("seed", "pad_crop", "erasing", "colour_jitter", "hue", "grayscale")
"""Settings that decide the variants besides their number; a mirror image has the embedding of its image."""


def drawn_parameters(config: TrialConfig) -> dict[str, Any]:
    """What decides the variants besides the images, as JSON values."""
    return {
        "drawn": config.teacher_views,
        "drawing": DRAWING,
        **{name: getattr(config, name) for name in SETTINGS},
    }


def drawn_embedder(
    config: TrialConfig,
    images: NDArray[np.uint8],
    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> Callable[[slice], NDArray[np.float32]]:
    """Embeds the variants of some of the images.

    Args:
        config: says how many there are of an image, and how they are drawn.
        images: (N, H, W, 3) uint8 at the teacher's size; may be memory-mapped.
        embed: (B, H, W, 3) uint8 to (B, T).

    Returns:
        From a slice of the N to (its length, V, T).
    """
    views, (height, width) = config.teacher_views, images.shape[1:3]
    variants = drawn_variants(len(images), views, (height, width), config)

    def rows(part: slice) -> NDArray[np.float32]:
        which = torch.arange(part.start * views, part.stop * views)
        plain = torch.from_numpy(np.repeat(images[part], views, axis=0))
        found = embed(vary_pixels(plain, variants.take(which), config).numpy())
        return found.reshape(-1, views, found.shape[1])

    return rows
