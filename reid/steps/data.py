"""Step 1: the images of a trial, split and decoded at its input size."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.data import ReIDDataset, Sample, decode_images, load_dataset, progress_lines, split_validation
from reid.errors import ConfigError
from reid.stages import stage_key
from reid.steps.workshop import Workshop

__all__ = ["TrialData", "load_data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialData:
    """Training and validation images at one input size.

    Attributes:
        split_key: content key of the split, whatever the input size.
        key: content key of everything below.
        dataset: all of it; its query and gallery are held only to refuse them during training.
        train: training samples; row i of `images` and `labels` belongs to sample i.
        images: (N, H, W, 3) uint8 RGB.
        labels: (N,) int64, classes 0 to num_classes - 1.
        num_classes: training identities.
        query: validation samples that are searched for, with (Q, H, W, 3) `query_images`.
        gallery: validation samples that are searched in, with (G, H, W, 3) `gallery_images`.
    """

    split_key: str
    key: str
    dataset: ReIDDataset
    train: tuple[Sample, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    num_classes: int
    query: tuple[Sample, ...]
    query_images: NDArray[np.uint8]
    gallery: tuple[Sample, ...]
    gallery_images: NDArray[np.uint8]


def load_data(work: Workshop, root: Path) -> TrialData:
    """Split the training identities into training and validation, and decode both.

    Raises:
        DataError: the dataset is missing or damaged.
        ConfigError: it is another dataset than the configuration names, or too small to be split.
    """
    config = work.config
    with work.uncached("data"):
        dataset = load_dataset(config.dataset, root)
        split = split_validation(dataset, config.validation_share, config.seed)
        identities, labels = np.unique([s.person_id for s in split.train], return_inverse=True)
        if config.sampler == "pk" and len(identities) < config.identities_per_batch:
            raise ConfigError(
                f"identities_per_batch is {config.identities_per_batch}, but {root} has {len(identities)} training "
                f"identities after {config.validation_share:g} went to validation: lower it, or add identities"
            )
        if config.sampler != "pk" and len(split.train) < config.batch_size:
            raise ConfigError(
                f"batch_size is {config.batch_size}, but {root} has {len(split.train)} training images after "
                f"{config.validation_share:g} of the identities went to validation: lower it, or add images"
            )
        told = progress_lines(work.say)
        parts = [
            decode_images(
                samples, config.input_size, dataset.root, gate=work.lock.shared, progress=told
            ).array
            for samples in (split.train, split.val_query, split.val_gallery)
        ]
    parted = {
        "fingerprint": dataset.fingerprint,
        "validation_share": config.validation_share,
        "seed": config.seed,
    }
    return TrialData(
        split_key=stage_key("split", 1, parted),
        key=stage_key("data", 1, {**parted, "input_size": list(config.input_size)}),
        dataset=dataset,
        train=split.train,
        images=parts[0],
        labels=labels.astype(np.int64),
        num_classes=len(identities),
        query=split.val_query,
        query_images=parts[1],
        gallery=split.val_gallery,
        gallery_images=parts[2],
    )
