"""Classification of the training identities."""

import torch.nn.functional as F
from torch import Tensor

from reid.errors import ConfigError

__all__ = ["softmax"]

_LABEL_SMOOTHING = 0.1


def softmax(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with 0.1 of the target spread evenly over all identities.

    Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016, section 7.

    Args:
        features: not looked at.
        logits: (B, C) float32.
        labels: (B,) int64 in [0, C).

    Returns:
        Scalar, mean over the batch.

    Raises:
        ConfigError: a label at or above C.
    """
    classes, largest = logits.shape[1], int(labels.max())
    if largest >= classes:
        raise ConfigError(f"label {largest} in a network of {classes} classes; build it with {largest + 1}")
    return F.cross_entropy(logits, labels, label_smoothing=_LABEL_SMOOTHING)
