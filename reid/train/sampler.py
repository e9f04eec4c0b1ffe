"""Which images make up the batches of an epoch; samplers by name."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reid.errors import ConfigError
from reid.train.recipe import Recipe

__all__ = [
    "SAMPLERS",
    "class_balanced_batches",
    "epoch_batches",
    "pk_batches",
    "random_batches",
    "steps_per_epoch",
]

Batches = tuple[NDArray[np.int64], ...]


def epoch_batches(labels: NDArray[np.int64], recipe: Recipe, epoch: int) -> Batches:
    """Image indices of every batch of one epoch; a function of its arguments alone.

    Args:
        labels: (N,) identity of each image, any integers.
        recipe: names the sampler and its sizes, and gives the seed.
        epoch: any number >= 0; every epoch draws differently.

    Raises:
        ConfigError: fewer identities or images than a batch takes.
    """
    return SAMPLERS[recipe.sampler](labels, recipe, epoch)


def steps_per_epoch(labels: NDArray[np.int64], identities: int, images: int) -> int:
    """Batches of one epoch: ceil(N / (P * K)), or more where that is needed to draw every identity once.

    Args:
        labels: (N,) identity of each image.
        identities: P, per batch.
        images: K, per identity.
    """
    present = len(np.unique(labels))
    return max(-(-len(labels) // (identities * images)), -(-present // identities))


def pk_batches(labels: NDArray[np.int64], identities: int, images: int, *, seed: int, epoch: int) -> Batches:
    """Batches of P identities with K images each.

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


def class_balanced_batches(labels: NDArray[np.int64], size: int, *, seed: int, epoch: int) -> Batches:
    """N // size batches in which every identity is drawn equally often, give or take one.

    Identities come in passes, each a permutation of all of them, and so do the images of an identity.

    Args:
        labels: (N,) identity of each image, any integers.
        size: images of a batch.
        seed: of the training.
        epoch: any number >= 0.

    Raises:
        ConfigError: fewer images than `size`.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    random = np.random.default_rng([seed, epoch])
    drawn = _passes(np.arange(len(members)), [size] * _full_batches(labels, size), random)
    appearances = np.bincount(np.concatenate(drawn), minlength=len(members))
    images = [
        iter(np.concatenate(_passes(m, [int(n)], random))) for m, n in zip(members, appearances, strict=True)
    ]
    return tuple(np.array([next(images[identity]) for identity in batch], dtype=np.int64) for batch in drawn)


def random_batches(labels: NDArray[np.int64], size: int, *, seed: int, epoch: int) -> Batches:
    """N // size batches of a permutation of all images; the rest sits this epoch out.

    Args:
        labels: (N,), only their number matters.
        size: images of a batch.
        seed: of the training.
        epoch: any number >= 0.

    Raises:
        ConfigError: fewer images than `size`.
    """
    shuffled = np.random.default_rng([seed, epoch]).permutation(len(labels))
    return tuple(shuffled[: _full_batches(labels, size) * size].reshape(-1, size))


def _full_batches(labels: NDArray[np.int64], size: int) -> int:
    if len(labels) < size:
        raise ConfigError(
            f"batch_size is {size}, but only {len(labels)} images are to be trained on; lower it"
        )
    return len(labels) // size


SAMPLERS: dict[str, Callable[[NDArray[np.int64], Recipe, int], Batches]] = {
    "pk": lambda labels, recipe, epoch: pk_batches(
        labels, recipe.identities_per_batch, recipe.images_per_identity, seed=recipe.seed, epoch=epoch
    ),
    "class-balanced": lambda labels, recipe, epoch: class_balanced_batches(
        labels, recipe.batch_size, seed=recipe.seed, epoch=epoch
    ),
    "random": lambda labels, recipe, epoch: random_batches(
        labels, recipe.batch_size, seed=recipe.seed, epoch=epoch
    ),
}
"""Samplers by name: labels, recipe and epoch to the batches of that epoch."""


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
