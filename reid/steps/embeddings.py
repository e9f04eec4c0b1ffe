"""A teacher's embeddings of many images: computed part by part, kept as one file that is mapped, not read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.files import remove_tree, write_with
from reid.steps.workshop import Workshop

__all__ = ["BATCH", "load_embeddings", "write_embeddings"]

BATCH = 16
"""Images of one pass of a teacher; a timing waits for the pass under way, so they are few."""

_PART = 64 * BATCH
_FILE = "embeddings.npy"


def write_embeddings(
    work: Workshop,
    count: int,
    rows: Callable[[slice], NDArray[np.float32]],
    folder: Path,
    *,
    views: int = 1,
) -> None:
    """Fill `folder`; after a crash the parts that are there are not computed again.

    Args:
        work: whose device is held shared by each pass.
        count: of images, >= 1.
        rows: embeddings of the images that a slice of `count` names, (their number, ...) float32.
        folder: of the stage.
        views: embeddings that `rows` computes for each image.
    """
    size, batch = max(1, _PART // views), max(1, BATCH // views)
    starts = range(0, count, size)
    for start in starts:
        part, stop = _part(folder, start), min(start + size, count)
        if part.is_file():
            continue
        batches = []
        for first in range(start, stop, batch):
            with work.lock.shared():
                batches.append(rows(slice(first, min(first + batch, stop))))
        _save(part, np.concatenate(batches))
        work.say(f"teach: {stop} of {count} images")
    parts = [_part(folder, start) for start in starts]
    _save(folder / _FILE, np.concatenate([_map(part) for part in parts]))
    for part in parts:
        remove_tree(part)


def load_embeddings(folder: Path) -> NDArray[np.float32]:
    """What `write_embeddings` left in `folder`: (count, ...).

    Mapped, as variants of many images are gigabytes, and trials beside each other share them.
    """
    return _map(folder / _FILE)


def _part(folder: Path, start: int) -> Path:
    return folder / f"part-{start:08d}.npy"


def _map(path: Path) -> NDArray[np.float32]:
    rows: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return rows


def _save(path: Path, rows: NDArray[np.float32]) -> None:
    write_with(path, lambda temporary: np.save(temporary, rows, allow_pickle=False))
