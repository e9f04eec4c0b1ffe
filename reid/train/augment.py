"""Random variants of whole batches: shift, mirror and erase, drawn for each image on its own."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.train.images import normalise_batch

__all__ = ["augment"]

# Ten pixels at 256 x 128, and the same share of any other size.
_PAD_SHARE_OF_HEIGHT, _PAD_SHARE_OF_WIDTH = 10 / 256, 10 / 128
_FLIP_PROBABILITY = 0.5
_ERASE_PROBABILITY = 0.5
_ERASE_AREA = (0.02, 0.4)
_ERASE_ASPECT = (0.3, 1 / 0.3)
# One try in four falls outside a 2:1 image; all of ten do so in one image in a million.
_ERASE_TRIES = 10


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Zero-padded random crop, mirror image (p = 0.5), normalisation, random erasing (p = 0.5).

    Source: Luo et al., Bag of Tricks and A Strong Baseline for Deep Person Re-identification, CVPRW 2019,
    section 2; Zhong et al., Random Erasing Data Augmentation, AAAI 2020, algorithm 1.

    Args:
        images: (B, H, W, 3) uint8, RGB, on any device.
        generator: on the CPU; two of the same state give the same variants on every device.

    Returns:
        (B, 3, H, W) float32, normalised, channels last in memory; erased pixels are 0, the mean colour.
    """
    return _erase(normalise_batch(_crop_and_flip(images, generator)), generator)


def _crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    count, height, width, _ = images.shape
    pad_y, pad_x = round(height * _PAD_SHARE_OF_HEIGHT), round(width * _PAD_SHARE_OF_WIDTH)
    top = torch.randint(2 * pad_y + 1, (count, 1), generator=generator)
    left = torch.randint(2 * pad_x + 1, (count, 1), generator=generator)
    flipped = torch.rand(count, 1, generator=generator) < _FLIP_PROBABILITY
    columns = torch.arange(width)
    rows = (top + torch.arange(height)).to(images.device)
    columns = (left + torch.where(flipped, columns.flip(0), columns)).to(images.device)
    padded = F.pad(images, (0, 0, pad_x, pad_x, pad_y, pad_y))
    which = torch.arange(count, device=images.device)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]]


def _erase(images: Tensor, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    shape = (count, _ERASE_TRIES)
    area = height * width * _uniform(shape, _ERASE_AREA, generator)
    aspect = _uniform(shape, _ERASE_ASPECT, generator)
    tall, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (tall < height) & (wide < width)
    first = fits.int().argmax(1, keepdim=True)
    tall, wide, fits = tall.gather(1, first), wide.gather(1, first), fits.gather(1, first)
    top = (torch.rand(count, 1, generator=generator) * (height - tall + 1)).floor()
    left = (torch.rand(count, 1, generator=generator) * (width - wide + 1)).floor()
    erased = fits & (torch.rand(count, 1, generator=generator) < _ERASE_PROBABILITY)
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top) & (rows < top + tall) & erased
    in_columns = (columns >= left) & (columns < left + wide)
    mask = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return images.masked_fill_(mask.to(images.device), 0.0)


def _uniform(shape: tuple[int, ...], bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(shape, generator=generator)
