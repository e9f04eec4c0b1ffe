"""From decoded images to what a network reads, and from there to embeddings."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid.data.normalize import MEAN, STD
from reid.errors import ConfigError
from reid.memory import memory_errors
from reid.models.modes import evaluating

__all__ = ["check_images", "embed", "normalise_batch"]


def normalise_batch(images: NDArray[np.uint8] | Tensor) -> Tensor:
    """(x / 255 - mean) / std per channel.

    Args:
        images: (B, H, W, 3) uint8, RGB; an array, or a tensor on any device.

    Returns:
        (B, 3, H, W) float32 on the same device, channels last in memory.
    """
    pixels = torch.as_tensor(np.array(images) if isinstance(images, np.ndarray) else images)
    mean = torch.tensor(MEAN, device=pixels.device) * 255
    std = torch.tensor(STD, device=pixels.device) * 255
    # The axes are swapped last: the bytes then lie as channels_last convolutions want them, without a copy.
    return pixels.float().sub_(mean).div_(std).permute(0, 3, 1, 2)


def embed(
    model: nn.Module,
    images: NDArray[np.uint8],
    *,
    batch: int = 64,
    gate: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> NDArray[np.float32]:
    """Embeddings by the network itself, in eval mode and float32; its mode is put back afterwards.

    Args:
        model: gives (B, D) in eval mode.
        images: (N, H, W, 3) uint8, RGB; may be memory-mapped.
        batch: images per forward pass, >= 1.
        gate: entered around every batch.

    Returns:
        (N, D) float32, not L2-normalised, on the CPU.

    Raises:
        ConfigError: `images` of another shape or type, or none.
        ResourceError: memory ran out.
    """
    check_images(images)
    device = next(model.parameters()).device
    parts = []
    with evaluating(model):
        for start in range(0, len(images), batch):
            with gate(), torch.inference_mode(), memory_errors(f"embedding {batch} images at a time"):
                pixels = torch.from_numpy(np.array(images[start : start + batch])).to(device)
                parts.append(model(normalise_batch(pixels)).float().cpu().numpy())
    return np.concatenate(parts)


def check_images(images: NDArray[np.uint8]) -> None:
    """Refuse anything but (N, H, W, 3) uint8 with N >= 1.

    Raises:
        ConfigError: names the shape and type given.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not len(images):
        raise ConfigError(f"images must be (N, H, W, 3) uint8 with N >= 1, got {images.shape} {images.dtype}")
