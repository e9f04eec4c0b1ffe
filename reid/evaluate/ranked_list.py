"""A picture of rankings for a person to look at: each query, and the images found first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from reid.errors import ConfigError
from reid.evaluate.retrieval import Retrieval

__all__ = ["RIGHT", "SHOWN", "WRONG", "draw_ranked_lists", "queries_to_show"]

SHOWN = 10
"""Images shown for each query."""

RIGHT, WRONG = (0, 150, 60), (215, 25, 28)
"""Colours of the frames as (red, green, blue): the query's identity, and any other."""

_QUERY = (90, 90, 90)
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_TILE = (128, 64)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Lengths in pixels."""

    frame: int = 4
    gap: int = 6
    caption: int = 14

    @property
    def pitch(self) -> tuple[int, int]:
        """(height, width) from one tile to the next."""
        border = 2 * self.frame + self.gap
        return _TILE[0] + border + self.caption, _TILE[1] + border


_LAYOUT = _Layout()


def queries_to_show(found: Retrieval, count: int, seed: int) -> list[int]:
    """Rows of queries drawn at random, in ascending order.

    Args:
        found: the retrieval.
        count: >= 1; all queries where there are fewer.
        seed: the same seed draws the same queries.

    Raises:
        ConfigError: `count` is below 1.
    """
    if count < 1:
        raise ConfigError(f"the number of queries to show must be at least 1, got {count}")
    total = len(found.query.ids)
    drawn = np.random.default_rng(seed).choice(total, min(count, total), replace=False)
    return sorted(drawn.tolist())


def draw_ranked_lists(
    found: Retrieval,
    queries: Sequence[int],
    query_images: NDArray[np.uint8],
    gallery_images: NDArray[np.uint8],
) -> Image.Image:
    """One row per query: the query in a grey frame, then the first `SHOWN` images of its ranking.

    The frame is green (`RIGHT`) around the query's identity and red (`WRONG`) around any other; below each
    image stand its identity and camera, and a + or − for those who do not see the colours. What the protocol
    leaves out of a ranking is not shown.

    Args:
        found: the retrieval.
        queries: rows of the queries.
        query_images: (Q, H, W, 3) uint8 RGB.
        gallery_images: (G, H, W, 3) uint8 RGB.
    """
    height, width = _LAYOUT.pitch
    picture = Image.new(
        "RGB", (width * (SHOWN + 1) + _LAYOUT.gap, height * len(queries) + _LAYOUT.gap), _WHITE
    )
    for row, query in enumerate(queries):
        person, camera = int(found.query.ids[query]), int(found.query.cameras[query])
        _draw_tile(picture, (row, 0), query_images[query], _QUERY, f"{person} c{camera}")
        for column, image in enumerate(found.first(query, SHOWN).tolist(), start=1):
            shown, seen_by = int(found.gallery.ids[image]), int(found.gallery.cameras[image])
            right = shown == person and shown > 0
            caption = f"{'+' if right else '-'} {shown} c{seen_by}"
            _draw_tile(picture, (row, column), gallery_images[image], RIGHT if right else WRONG, caption)
    return picture


def _draw_tile(
    picture: Image.Image,
    place: tuple[int, int],
    pixels: NDArray[np.uint8],
    colour: tuple[int, int, int],
    caption: str,
) -> None:
    top, left = (_LAYOUT.gap + index * length for index, length in zip(place, _LAYOUT.pitch, strict=True))
    height, width = _TILE
    frame = _LAYOUT.frame
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left, top, left + width + 2 * frame - 1, top + height + 2 * frame - 1), fill=colour)
    tile = Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.BILINEAR)
    picture.paste(tile, (left + frame, top + frame))
    draw.text((left, top + height + 2 * frame + 1), caption, fill=_BLACK)
