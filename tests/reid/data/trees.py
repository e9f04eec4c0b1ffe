"""Small real images under the names that datasets use; each image has bytes of its own."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["MARKET", "write_images", "write_market"]

MARKET = {
    "bounding_box_train": ("0001_c1s1_000001_01.jpg", "0001_c2s1_000002_01.jpg", "0002_c1s1_000003_01.jpg.jpg"),
    "query": ("0007_c1s1_000001_00.jpg", "0008_c2s1_000001_00.jpg"),
    "bounding_box_test": (
        "-1_c1s1_000001_01.jpg", "0000_c3s1_000001_01.jpg", "0007_c2s1_000009_01.jpg", "0008_c1s1_000009_01.jpg",
    ),
}  # fmt: skip
"""Two training and two test identities, junk and a distractor, three cameras."""


def write_images(root: Path, names: Iterable[str]) -> None:
    """An 8 x 16 image at each relative name; its suffix decides the format, its name the pixels."""
    for name in names:
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 8, 3), dtype=np.uint8)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)


def write_market(root: Path, suffix: str = ".jpg") -> None:
    """The images of `MARKET` in its layout, as files of another kind if asked."""
    write_images(
        root,
        (f"{folder}/{name.replace('.jpg', suffix)}" for folder, names in MARKET.items() for name in names),
    )
