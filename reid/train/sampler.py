"""Batches of P identities with K images each."""

import numpy as np
from numpy.typing import NDArray

from reid.errors import ConfigError

__all__ = ["epoch_batches", "steps_per_epoch"]


def steps_per_epoch(labels: NDArray[np.int64], identities: int, images: int) -> int:
    """Batches of one epoch: ceil(N / (P * K)), or more where that is needed to draw every identity once.

    Args:
        labels: (N,) identity of each image.
        identities: P, per batch.
        images: K, per identity.
    """
    present = len(np.unique(labels))
    return max(-(-len(labels) // (identities * images)), -(-present // identities))


def epoch_batches(
    labels: NDArray[np.int64], identities: int, images: int, *, seed: int, epoch: int
) -> tuple[NDArray[np.int64], ...]:
    """Image indices of every batch of one epoch; a function of its arguments alone.

    An epoch has ceil(N / (P * K)) batches, so that each identity's images are covered about once on average
    (more batches where fewer would leave an identity out). Identities come in passes, each a permutation of
    all of them: no identity is drawn for the n-th time before every other was drawn n - 1 times, and none
    twice in a batch. The images of an identity come likewise: all of them before any again; one with fewer
    than K repeats its images within the batch.

    Source: Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017, section 2
    (PxK batches).

    Args:
        labels: (N,) identity of each image, any integers.
        identities: P, per batch.
        images: K, per identity.
        seed: of the training.
        epoch: any number >= 0; every epoch draws differently.

    Returns:
        Index arrays (P * K,), the images of one identity beside each other.

    Raises:
        ConfigError: fewer identities than P.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if len(members) < identities:
        raise ConfigError(
            f"identities_per_batch is {identities}, but only {len(members)} identities are to be trained on; "
            "lower it or use more identities"
        )
    random = np.random.default_rng([seed, epoch])
    batches = steps_per_epoch(labels, identities, images)
    drawn = _passes(np.arange(len(members)), [identities] * batches, random)
    appearances = np.bincount(np.concatenate(drawn), minlength=len(members))
    chosen = [iter(_passes(m, [images] * int(n), random)) for m, n in zip(members, appearances, strict=True)]
    return tuple(np.concatenate([next(chosen[identity]) for identity in batch]) for batch in drawn)


def _passes(
    items: NDArray[np.int64], sizes: list[int], random: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Groups of the given sizes out of endless permutations of `items`; each distinct where it can be."""
    groups, waiting = [], random.permutation(items)
    for size in sizes:
        group = waiting[:size]
        waiting = waiting[size:]
        while len(group) < size:
            fresh = random.permutation(items)
            # What the group holds already waits for the next group, so that each pass stays complete.
            repeated = np.isin(fresh, group)
            ordered = np.concatenate([fresh[~repeated], fresh[repeated]])
            missing = size - len(group)
            group, waiting = np.concatenate([group, ordered[:missing]]), ordered[missing:]
        groups.append(group)
    return groups
