"""Accuracy of a network's classifier on images of training identities: a plain classification evaluation."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reid.data import Sample
from reid.data.split import draw
from reid.errors import ConfigError
from reid.models import ReIDNetwork
from reid.train import normalise_batch

__all__ = ["Classification", "classify", "one_image_per_identity"]

_DEEPEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """Shares of images that the classifier names rightly, in [0, 1].

    Attributes:
        accuracy: the likeliest identity is right.
        accuracy_top5: the right identity is among the five likeliest (of fewer, if there are fewer).
        images: how many were judged, >= 1.
        identities: among how many the classifier chose.
        protocol: which images these are, in one line.
    """

    accuracy: float
    accuracy_top5: float
    images: int
    identities: int
    protocol: str


def one_image_per_identity(samples: Sequence[Sample], seed: int) -> tuple[Sample, ...]:
    """The image of each identity whose file name hashes lowest, in the order of `samples`.

    The layumi baseline holds out the first file of each identity that the file system lists; a hash gives the
    same images on every machine.

    Args:
        samples: images of training identities.
        seed: another seed draws other images.
    """
    groups: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.person_id].append(sample)

    chosen = {min(group, key=lambda sample: draw(seed, sample.path.name)) for group in groups.values()}
    return tuple(sample for sample in samples if sample in chosen)


def classify(
    model: ReIDNetwork,
    images: NDArray[np.uint8],
    classes: NDArray[np.integer],
    *,
    protocol: str,
    batch: int = 64,
    gate: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Classification:
    """Judge images by the network's own classifier, normalisation and dropout as in eval mode.

    Args:
        model: with a trained classifier; put into eval mode.
        images: (N, H, W, 3) uint8 RGB, N >= 1; may be memory-mapped.
        classes: (N,) right class of each image, as the classifier numbers them.
        protocol: which images these are.
        batch: images per forward pass, >= 1.
        gate: entered around every batch.

    Raises:
        ConfigError: no image, or not one class per image.
    """
    if not len(images) or len(images) != len(classes):
        raise ConfigError(f"classify needs one class per image, got {len(classes)} for {len(images)} images")
    model.eval()
    found = []
    for start in range(0, len(images), batch):
        with gate(), torch.inference_mode():
            logits = model.classifier(model(normalise_batch(images[start : start + batch])))
            # Several classifiers vote by the mean of their logarithmic probabilities.
            votes = logits.log_softmax(-1).mean(1) if logits.ndim == 3 else logits
            found.append(votes.topk(min(_DEEPEST, votes.shape[1])).indices.cpu().numpy())
    right = np.concatenate(found) == np.asarray(classes)[:, np.newaxis]
    return Classification(
        accuracy=float(right[:, 0].mean()),
        accuracy_top5=float(right.any(axis=1).mean()),
        images=len(images),
        identities=int(votes.shape[1]),
        protocol=protocol,
    )
