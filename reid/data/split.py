"""Validation identities held out of the training identities, so that nothing is selected on the test split.

Identities and queries are drawn by hashing, not by a random generator: the same seed gives the same split on
every machine and version, whatever the order of the files.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass

from reid.data.dataset import ReIDDataset
from reid.data.sample import Sample
from reid.errors import ConfigError, DataError

__all__ = ["TrainingSplit", "draw", "split_validation"]

# One identity left to learn has nothing to be told from, and one validation identity ranks itself first.
_LEAST_IDENTITIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSplit:
    """The training images of a dataset, divided by identity.

    Attributes:
        train: images to learn from.
        val_query: one image per validation identity and camera.
        val_gallery: all other images of the validation identities.
    """

    train: tuple[Sample, ...]
    val_query: tuple[Sample, ...]
    val_gallery: tuple[Sample, ...]


def split_validation(dataset: ReIDDataset, share: float, seed: int) -> TrainingSplit:
    """Hold a share of the training identities out for validation.

    Per validation identity and camera one image becomes a query and the rest the gallery, as the test split
    of Market-1501 is made. No validation identity is among the training images.

    Args:
        dataset: only `dataset.train` is read.
        share: of the training identities, in (0, 1); rounded, at least two identities.
        seed: decides which identities are held out and which images are queries.

    Returns:
        The three parts, each in the order of `dataset.train`.

    Raises:
        ConfigError: `share` is out of range, or leaves fewer than two identities to train on.
        DataError: fewer than four identities in all, or no query would have a right image from another camera in
            the gallery.
    """
    if not 0 < share < 1:
        raise ConfigError(f"validation share must be in (0, 1), got {share}")
    identities = sorted({sample.person_id for sample in dataset.train}, key=lambda one: draw(seed, str(one)))
    count = max(_LEAST_IDENTITIES, round(share * len(identities)))
    if len(identities) < 2 * _LEAST_IDENTITIES:
        raise DataError(
            f"{dataset.root} has {len(identities)} training identities; add some: {_LEAST_IDENTITIES} at the least are "
            "trained on, as many held out for validation"
        )
    if len(identities) - count < _LEAST_IDENTITIES:
        raise ConfigError(
            f"validation_share {share:g} holds {count} of the {len(identities)} training identities of {dataset.root} "
            f"out and leaves fewer than {_LEAST_IDENTITIES} to train on; lower it"
        )
    held_out = set(identities[:count])
    validation = [sample for sample in dataset.train if sample.person_id in held_out]
    queries = _one_per_camera(validation, seed)
    split = TrainingSplit(
        train=tuple(sample for sample in dataset.train if sample.person_id not in held_out),
        val_query=tuple(sample for sample in validation if sample in queries),
        val_gallery=tuple(sample for sample in validation if sample not in queries),
    )
    _demand_a_match(split, dataset)
    return split


def _one_per_camera(samples: list[Sample], seed: int) -> set[Sample]:
    groups: dict[tuple[int, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.person_id, sample.camera_id].append(sample)
    return {min(group, key=lambda sample: draw(seed, sample.path.name)) for group in groups.values()}


def _demand_a_match(split: TrainingSplit, dataset: ReIDDataset) -> None:
    cameras: dict[int, set[int]] = defaultdict(set)
    for sample in split.val_gallery:
        cameras[sample.person_id].add(sample.camera_id)
    if not any(cameras[sample.person_id] - {sample.camera_id} for sample in split.val_query):
        raise DataError(
            f"{dataset.root}: no validation identity is seen by two cameras with an image to spare; "
            "validation needs two cameras and two images in each"
        )


def draw(seed: int, name: str) -> bytes:
    """Place of `name` in an order that looks random and depends on nothing but the seed and the name."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
