"""Which training images calibrate the activation ranges of int8."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from reid.data.sample import Sample
from reid.errors import ConfigError, DataError

__all__ = ["calibration_samples"]


def calibration_samples(
    train: Sequence[Sample], count: int, seed: int, forbidden: Iterable[Path]
) -> tuple[int, ...]:
    """Draw images so that every identity is drawn equally often, as far as its images reach.

    Identities in random order give one image each, then one more each, and so on.

    Args:
        train: the training images.
        count: images to draw, >= 1; all of `train` where it holds fewer.
        seed: of the draw.
        forbidden: query and gallery images; none of them may be in `train`.

    Returns:
        Sorted indices into `train`, each at most once.

    Raises:
        ConfigError: `count` is below 1, or there are no training images.
        DataError: a training image is a query or gallery image, under whatever path.
    """
    if count < 1 or not train:
        raise ConfigError(f"calibration needs at least 1 image, got {count} of {len(train)} training images")
    _refuse_leak(train, forbidden)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(train))
    persons = np.array([sample.person_id for sample in train])
    turn = _occurrence(persons[order])
    names, person = np.unique(persons[order], return_inverse=True)
    # First by turn, then by an order of the identities that is drawn anew, so that no identity is favoured.
    drawn = order[np.lexsort((rng.permutation(len(names))[person], turn))][:count]
    return tuple(sorted(int(index) for index in drawn))


def _occurrence(
    values: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """How many equal values stand before each value."""
    by_value = np.argsort(values, kind="stable")
    first = np.searchsorted(values[by_value], values[by_value])
    rank = np.empty(len(values), dtype=np.int64)
    rank[by_value] = np.arange(len(values)) - first
    return rank


def _refuse_leak(train: Sequence[Sample], forbidden: Iterable[Path]) -> None:
    # Resolved, because the same file may be reached through a link.
    closed = {os.path.realpath(path) for path in forbidden}
    for sample in train:
        if os.path.realpath(sample.path) in closed:
            raise DataError(
                f"{sample.path} is a query or gallery image and must not calibrate; split the data anew"
            )
