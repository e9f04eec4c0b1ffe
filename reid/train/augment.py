"""Random variants of whole batches, drawn for each image on its own."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.data.normalize import MEAN
from reid.train.colour import grey, jitter, turn_hue
from reid.train.images import normalise_batch
from reid.train.variants import Variants, padding
from reid.training_settings import TrainingSettings

__all__ = ["augment", "vary", "vary_pixels"]


def augment(images: Tensor, settings: TrainingSettings, generator: torch.Generator) -> Tensor:
    """Padded random crop, mirror image, colours, grey rectangle, normalisation, random erasing, blends, in this order.

    Source: Luo et al., Bag of Tricks and A Strong Baseline for Deep Person Re-identification, CVPRW 2019,
    section 2; Zhong et al., Random Erasing Data Augmentation, AAAI 2020, algorithm 1; Gong et al., Eliminate
    Deviation with Deviation for Data Augmentation, 2021, section 3.2 (grey rectangles); Zhang et al., mixup, ICLR
    2018, with the share drawn evenly as in Beyer et al., Knowledge distillation: A good teacher is patient and
    consistent, CVPR 2022, section 3.1.

    Args:
        images: (B, H, W, 3) uint8, RGB, on any device.
        settings: gives the probabilities and amplitudes.
        generator: on the CPU; two of the same state give the same variants on every device.

    Returns:
        (B, 3, H, W) float32, normalised, channels last in memory; erased pixels are 0, the mean colour.
    """
    count, height, width, _ = images.shape
    varied = vary(images, Variants.draw(count, (height, width), settings, generator), settings)
    return _blend(varied, settings.mixup, generator) if settings.mixup else varied


def vary(images: Tensor, variants: Variants, settings: TrainingSettings) -> Tensor:
    """The images as their variants say, normalised.

    Args:
        images: (B, H, W, 3) uint8, RGB, on any device.
        variants: B of them, drawn for this size.
        settings: that they were drawn with.

    Returns:
        (B, 3, H, W) float32, channels last in memory; erased pixels are 0, the mean colour.
    """
    erased = normalise_batch(_recolour(_crop_and_flip(images, variants, settings), variants))
    if variants.erased is not None:
        erased.masked_fill_(_mask(variants.erased, images.shape).to(images.device)[:, None], 0.0)
    return erased


def vary_pixels(images: Tensor, variants: Variants, settings: TrainingSettings) -> Tensor:
    """As `vary`, but as pixels: for networks that normalise in another way.

    Returns:
        (B, H, W, 3) uint8; erased pixels have the mean colour, rounded.
    """
    varied = _recolour(_crop_and_flip(images, variants, settings), variants).round().to(torch.uint8)
    if variants.erased is None:
        return varied
    mean = (torch.tensor(MEAN, device=images.device) * 255).round().to(torch.uint8)
    return torch.where(_mask(variants.erased, images.shape).to(images.device)[..., None], mean, varied)


def _blend(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Some of the images with a share between 0 and 1 of another one."""
    count = len(images)
    other = torch.randperm(count, generator=generator).to(images.device)
    share = torch.rand(count, generator=generator) * (torch.rand(count, generator=generator) < probability)
    return torch.lerp(images, images[other], share.to(images.device)[:, None, None, None])


def _crop_and_flip(images: Tensor, variants: Variants, settings: TrainingSettings) -> Tensor:
    count, height, width, _ = images.shape
    pad_y, pad_x = padding((height, width), settings)
    columns = torch.arange(width)
    columns = torch.where(variants.flipped[:, None], columns.flip(0), columns)
    rows = (variants.corner[:, :1] + torch.arange(height)).to(images.device)
    columns = (variants.corner[:, 1:] + columns).to(images.device)
    padded = F.pad(images, (0, 0, pad_x, pad_x, pad_y, pad_y))
    which = torch.arange(count, device=images.device)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]]


def _recolour(images: Tensor, variants: Variants) -> Tensor:
    """Colours and grey rectangles of (B, H, W, 3) uint8; floats from 0 to 255 where there are any."""
    if variants.factors is None and variants.turns is None and variants.grey is None:
        return images
    images = images.float().div_(255)
    if variants.factors is not None:
        images = jitter(images, *variants.factors.unbind(1))
    if variants.turns is not None:
        images = turn_hue(images, variants.turns)
    if variants.grey is not None:
        mask = _mask(variants.grey, images.shape).to(images.device)
        images = torch.where(mask[..., None], grey(images), images)
    return images.mul_(255)


def _mask(boxes: Tensor, shape: torch.Size) -> Tensor:
    """(B, H, W) bool: inside of the rectangles (B, 4)."""
    _, height, width, _ = shape
    top, left, tall, wide = (edge[:, None] for edge in boxes.unbind(1))
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows, in_columns = (rows >= top) & (rows < top + tall), (columns >= left) & (columns < left + wide)
    return in_rows[:, :, None] & in_columns[:, None, :]
