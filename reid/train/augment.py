"""Random variants of whole batches, drawn for each image on its own."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.train.colour import grey, jitter, turn_hue
from reid.train.images import normalise_batch
from reid.training_settings import TrainingSettings

__all__ = ["augment"]

# `pad_crop` counts pixels of an image of this size.
_HEIGHT, _WIDTH = 256, 128
_AREA = (0.02, 0.4)
_ASPECT = (0.3, 1 / 0.3)
# One try in four falls outside a 2:1 image; all of ten do so in one image in a million.
_TRIES = 10


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
    images = _crop_and_flip(images, settings, generator)
    if settings.colour_jitter or settings.hue or settings.grayscale:
        images = _recolour(images.float().div_(255), settings, generator).mul_(255)
    erased = normalise_batch(images)
    if settings.erasing:
        mask = _rectangles(images.shape, settings.erasing, generator).to(images.device)
        erased.masked_fill_(mask[:, None], 0.0)
    return _blend(erased, settings.mixup, generator) if settings.mixup else erased


def _crop_and_flip(images: Tensor, settings: TrainingSettings, generator: torch.Generator) -> Tensor:
    count, height, width, _ = images.shape
    pad_y, pad_x = round(height * settings.pad_crop / _HEIGHT), round(width * settings.pad_crop / _WIDTH)
    top = torch.randint(2 * pad_y + 1, (count, 1), generator=generator)
    left = torch.randint(2 * pad_x + 1, (count, 1), generator=generator)
    flipped = torch.rand(count, 1, generator=generator) < settings.flip
    columns = torch.arange(width)
    rows = (top + torch.arange(height)).to(images.device)
    columns = (left + torch.where(flipped, columns.flip(0), columns)).to(images.device)
    padded = F.pad(images, (0, 0, pad_x, pad_x, pad_y, pad_y))
    which = torch.arange(count, device=images.device)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]]


def _recolour(images: Tensor, settings: TrainingSettings, generator: torch.Generator) -> Tensor:
    """Colours and grey rectangles of (B, H, W, 3) float32 in [0, 1]."""
    if reach := settings.colour_jitter:
        factors = _uniform((3, len(images)), (1 - reach, 1 + reach), generator)
        images = jitter(images, *factors)
    if reach := settings.hue:
        images = turn_hue(images, _uniform((len(images),), (-reach, reach), generator))
    if settings.grayscale:
        mask = _rectangles(images.shape, settings.grayscale, generator).to(images.device)
        images = torch.where(mask[..., None], grey(images), images)
    return images


def _blend(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Some of the images with a share between 0 and 1 of another one."""
    count = len(images)
    other = torch.randperm(count, generator=generator).to(images.device)
    share = torch.rand(count, generator=generator) * (torch.rand(count, generator=generator) < probability)
    return torch.lerp(images, images[other], share.to(images.device)[:, None, None, None])


def _rectangles(shape: torch.Size, probability: float, generator: torch.Generator) -> Tensor:
    """(B, H, W) bool: a random rectangle in a share of the images, nothing in the others."""
    count, height, width, _ = shape
    area = height * width * _uniform((count, _TRIES), _AREA, generator)
    aspect = _uniform((count, _TRIES), _ASPECT, generator)
    tall, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (tall < height) & (wide < width)
    first = fits.int().argmax(1, keepdim=True)
    tall, wide, fits = tall.gather(1, first), wide.gather(1, first), fits.gather(1, first)
    top = (torch.rand(count, 1, generator=generator) * (height - tall + 1)).floor()
    left = (torch.rand(count, 1, generator=generator) * (width - wide + 1)).floor()
    chosen = fits & (torch.rand(count, 1, generator=generator) < probability)
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top) & (rows < top + tall) & chosen
    in_columns = (columns >= left) & (columns < left + wide)
    return in_rows[:, :, None] & in_columns[:, None, :]


def _uniform(shape: tuple[int, ...], bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(shape, generator=generator)
