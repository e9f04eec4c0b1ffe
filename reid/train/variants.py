"""What happens to each image of a batch, drawn apart from the images themselves."""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from reid.training_settings import TrainingSettings

__all__ = ["DRAWING", "REFERENCE", "Variants", "drawn_variants", "padding"]

REFERENCE = (256, 128)
"""(height, width) of the image whose pixels `pad_crop` counts."""

DRAWING = 1
"""Changes with what the same seed draws: a teacher's embeddings that are kept belong to one drawing."""

_AREA = (0.02, 0.4)
_ASPECT = (0.3, 1 / 0.3)
# One try in four falls outside a 2:1 image; all of ten do so in one image in a million.
_TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """How N images are changed, on the CPU; what the settings leave alone is None.

    Attributes:
        corner: (N, 2) int64, top and left of the window in the padded image.
        flipped: (N,) bool.
        factors: (N, 3) of brightness, contrast and saturation.
        turns: (N,) of the circle of hues.
        grey: (N, 4) top, left, height and width of the grey rectangle, all 0 for none.
        erased: (N, 4) as `grey`, of the rectangle of the mean colour.
    """

    corner: Tensor
    flipped: Tensor
    factors: Tensor | None = None
    turns: Tensor | None = None
    grey: Tensor | None = None
    erased: Tensor | None = None

    @classmethod
    def draw(
        cls, count: int, size: tuple[int, int], settings: TrainingSettings, generator: torch.Generator
    ) -> Self:
        """Draw for `count` images of `size`, each on its own.

        Args:
            count: >= 1.
            size: (height, width) in pixels.
            settings: gives the probabilities and amplitudes.
            generator: on the CPU; two of the same state draw the same.
        """
        pad_y, pad_x = padding(size, settings)
        top = torch.randint(2 * pad_y + 1, (count, 1), generator=generator)
        left = torch.randint(2 * pad_x + 1, (count, 1), generator=generator)
        flipped = torch.rand(count, 1, generator=generator)[:, 0] < settings.flip
        factors = turns = grey = erased = None
        if reach := settings.colour_jitter:
            factors = _uniform((3, count), (1 - reach, 1 + reach), generator).T
        if reach := settings.hue:
            turns = _uniform((count,), (-reach, reach), generator)
        if settings.grayscale:
            grey = _rectangles(count, size, settings.grayscale, generator)
        if settings.erasing:
            erased = _rectangles(count, size, settings.erasing, generator)
        return cls(
            corner=torch.cat([top, left], dim=1),
            flipped=flipped,
            factors=factors,
            turns=turns,
            grey=grey,
            erased=erased,
        )

    def take(self, rows: Tensor) -> "Variants":
        """Those of the images that `rows` numbers, in its order."""
        return Variants(**{name: part[rows] for name, part in self._parts().items()})

    def scaled(
        self, size: tuple[int, int], wanted: tuple[int, int], settings: TrainingSettings
    ) -> "Variants":
        """The same variants of the images at another size, up to rounding to whole pixels.

        Args:
            size: (height, width) that these were drawn for.
            wanted: (height, width) to bring them to.
            settings: that these were drawn with.
        """
        parts = self._parts()
        reach, padded = torch.tensor(padding(size, settings)), torch.tensor(padding(wanted, settings))
        scaled = (self.corner * padded / reach.clamp_min(1)).round().long()
        # Where nothing was padded, nothing was shifted either.
        parts["corner"] = torch.where(reach > 0, scaled, padded)
        ratio = torch.tensor(wanted) / torch.tensor(size)
        for name in ("grey", "erased"):
            if (boxes := parts.get(name)) is not None:
                first = (boxes[:, :2] * ratio).round()
                parts[name] = torch.cat([first, ((boxes[:, :2] + boxes[:, 2:]) * ratio).round() - first], 1)
        return Variants(**parts)

    def _parts(self) -> dict[str, Tensor]:
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: part for name, part in found.items() if part is not None}


def padding(size: tuple[int, int], settings: TrainingSettings) -> tuple[int, int]:
    """Pixels of zeros above and below, and left and right, of an image of `size` (height, width)."""
    (height, width), (tall, wide) = size, REFERENCE
    return round(height * settings.pad_crop / tall), round(width * settings.pad_crop / wide)


def drawn_variants(count: int, views: int, size: tuple[int, int], settings: TrainingSettings) -> Variants:
    """`views` variants of each of `count` images, the same for the same settings and seed.

    They are drawn for images of the size `REFERENCE`, so that networks of every input size see the same, and none is a
    mirror image: those are drawn batch by batch.

    Args:
        count: images, >= 1.
        views: of each, >= 1.
        size: (height, width) of the images in pixels.
        settings: gives probabilities, amplitudes and seed.

    Returns:
        count x views rows; view v of image i is row i x views + v.
    """
    # A child of the seed, apart from those that the batches of each epoch are drawn by.
    seed = int(
        np.random.SeedSequence(settings.seed, spawn_key=(1,)).generate_state(1, np.uint64)[0] >> np.uint64(1)
    )
    upright = replace(settings, flip=0.0)
    drawn = Variants.draw(count * views, REFERENCE, upright, torch.Generator().manual_seed(seed))
    return drawn.scaled(REFERENCE, size, upright)


def _rectangles(count: int, size: tuple[int, int], probability: float, generator: torch.Generator) -> Tensor:
    """(N, 4) top, left, height, width of a random rectangle in a share of the images, zeros in the others."""
    height, width = size
    area = height * width * _uniform((count, _TRIES), _AREA, generator)
    aspect = _uniform((count, _TRIES), _ASPECT, generator)
    tall, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (tall < height) & (wide < width)
    first = fits.int().argmax(1, keepdim=True)
    tall, wide, fits = tall.gather(1, first), wide.gather(1, first), fits.gather(1, first)
    top = (torch.rand(count, 1, generator=generator) * (height - tall + 1)).floor()
    left = (torch.rand(count, 1, generator=generator) * (width - wide + 1)).floor()
    chosen = fits & (torch.rand(count, 1, generator=generator) < probability)
    return torch.cat([top, left, tall, wide], dim=1) * chosen


def _uniform(shape: tuple[int, ...], bounds: tuple[float, float], generator: torch.Generator) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(shape, generator=generator)
