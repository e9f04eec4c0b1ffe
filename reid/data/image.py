"""The one way an image file becomes pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from reid.data.parallel import Progress, map_in_order

__all__ = ["MAX_PIXELS", "RESIZE_FILTER", "BadImage", "decode", "describe_bad", "find_bad"]

RESIZE_FILTER = "bilinear"
"""Pillow's antialiased bilinear filter, which torchreid uses too; part of every artifact's input."""

MAX_PIXELS = 8_000_000
"""Larger images are refused by their header: a person crop has thousands of pixels, a bomb billions."""

# Anything else that Pillow reads is no dataset image, and its decoders need not meet foreign files.
_FORMATS = ("JPEG", "PNG")
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEP = ("I", "F")  # modes of 16- and 32-bit grey images


@dataclass(frozen=True, slots=True, kw_only=True)
class BadImage:
    """An image file that cannot be used.

    Attributes:
        path: the file.
        reason: why, in a few words.
    """

    path: Path
    reason: str


def decode(path: Path, input_size: tuple[int, int] | None = None) -> NDArray[np.uint8] | BadImage:
    """Decode a JPEG or PNG completely, upright and in RGB.

    Args:
        path: the file; its content decides the format, its suffix does not.
        input_size: (height, width) in pixels to resize to; None keeps the size of the file.

    Returns:
        (H, W, 3) uint8 RGB, or a `BadImage` if the file is absent, truncated, of another format or larger
        than `MAX_PIXELS`, or of more than 8 bits a channel, which would be clipped to white.
    """
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return BadImage(path=path, reason=f"{image.width}x{image.height} pixels are too many")
            if image.mode.startswith(_DEEP):
                return BadImage(path=path, reason="more than 8 bits a channel; convert it to 8")
            image.load()  # reading the tags of a PNG decodes it too, and would pass over what is damaged
            rgb = _upright(image).convert("RGB")
    except UnidentifiedImageError:
        return BadImage(path=path, reason="no JPEG or PNG")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return BadImage(path=path, reason="too many pixels")
    except (OSError, SyntaxError, ValueError) as error:
        return BadImage(path=path, reason=str(error).splitlines()[0] if str(error) else type(error).__name__)
    if input_size is not None:
        height, width = input_size
        rgb = rgb.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(rgb)


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # whatever a damaged tag leads to; the pixels may be whole
        turn = None
    return image if turn is None else image.transpose(turn)


def find_bad(
    paths: Sequence[Path], *, workers: int | None = None, progress: Progress | None = None
) -> list[BadImage]:
    """Decode every image once and return those that cannot be used, in the order of `paths`.

    Args:
        paths: files to open.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few images.
    """
    results = map_in_order(_problem, paths, what="check", workers=workers, progress=progress)
    return [problem for problem in results if problem is not None]


def _problem(path: Path) -> BadImage | None:
    # Only the verdict is handed back: the pixels of many large images at once would fill the memory.
    result = decode(path)
    return result if isinstance(result, BadImage) else None


def describe_bad(bad: list[BadImage], root: Path) -> str:
    """List the first ten bad images, relative to `root` where they lie below it, and count all."""
    names = [
        f"{image.path.relative_to(root) if image.path.is_relative_to(root) else image.path} ({image.reason})"
        for image in bad[:10]
    ]
    more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
    return f"{len(bad)} bad image{'s' if len(bad) > 1 else ''}: {', '.join(names)}{more}"
