"""Colours of whole batches, changed by an amount for each image."""

import torch
from torch import Tensor

__all__ = ["grey", "jitter", "turn_hue"]

# ITU-R BT.601, as Pillow and torchvision weigh the channels.
_LUMA = (0.2989, 0.587, 0.114)


def grey(images: Tensor) -> Tensor:
    """Brightness of each pixel, ITU-R BT.601.

    Args:
        images: (B, H, W, 3) float32, RGB.

    Returns:
        (B, H, W, 1).
    """
    return (images * torch.tensor(_LUMA, device=images.device)).sum(-1, keepdim=True)


def jitter(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Brightness, then contrast, then saturation, each times a factor; 1 leaves an image as it is.

    Contrast is the distance from the image's mean grey, saturation that from the pixel's own grey.

    Args:
        images: (B, H, W, 3) float32 in [0, 1], RGB.
        brightness: (B,) factors >= 0.
        contrast: (B,) factors >= 0.
        saturation: (B,) factors >= 0.

    Returns:
        (B, H, W, 3) float32 in [0, 1].
    """
    factors = [factor.to(images.device)[:, None, None, None] for factor in (brightness, contrast, saturation)]
    images = (images * factors[0]).clamp_(0, 1)
    images = torch.lerp(grey(images).mean((1, 2), keepdim=True), images, factors[1]).clamp_(0, 1)
    return torch.lerp(grey(images), images, factors[2]).clamp_(0, 1)


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn every colour around the circle of hues; value and saturation stay.

    Source: Smith, Color Gamut Transform Pairs, SIGGRAPH 1978 (the hexcone of hue, saturation and value).

    Args:
        images: (B, H, W, 3) float32 in [0, 1], RGB.
        turns: (B,) in whole turns; -1/3 makes green red.

    Returns:
        (B, H, W, 3) float32 in [0, 1].
    """
    value, lowest = images.amax(-1, keepdim=True), images.amin(-1, keepdim=True)
    chroma = value - lowest
    red, green, blue = (images / torch.where(chroma > 0, chroma, 1)).chunk(3, dim=-1)
    sixth = torch.where(
        images[..., :1] == value,
        green - blue,
        torch.where(images[..., 1:2] == value, 2 + blue - red, 4 + red - green),
    )
    sixth = sixth + 6 * turns.to(images.device)[:, None, None, None]
    # One formula for all six sectors: each channel falls off with its distance from its own peak on the circle.
    offset = torch.tensor([5.0, 3.0, 1.0], device=images.device)
    place = (sixth + offset) % 6
    return value - chroma * torch.minimum(place, 4 - place).clamp_(0, 1)
