"""Classification of the training identities by the network's own classifier."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.losses.batch import LossContext, LossInput

__all__ = ["Focal", "Softmax"]

_FOCUS = 2.0


class Softmax(nn.Module):
    """Cross-entropy with a share of the target spread evenly over all identities; parts are averaged.

    Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016, section 7.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.smoothing = context.label_smoothing

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch.

        Raises:
            ConfigError: a label at or above the number of classes.
        """
        return _cross_entropies(batch, self.smoothing).mean()


class Focal(nn.Module):
    """Cross-entropy -log p of each image times (1 - p)², so that what is known well already counts less.

    Labels are not smoothed: a smoothed target is never known well. Parts are averaged.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, section 3.2, with its gamma 2 and
    without its class weights.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch.

        Raises:
            ConfigError: a label at or above the number of classes.
        """
        entropies = _cross_entropies(batch, smoothing=0.0)
        return ((-torch.expm1(-entropies)) ** _FOCUS * entropies).mean()


def _cross_entropies(batch: LossInput, smoothing: float) -> Tensor:
    classes, largest = batch.logits.shape[-1], int(batch.labels.max())
    if largest >= classes:
        raise ConfigError(f"label {largest} in a network of {classes} classes; build it with {largest + 1}")
    logits = batch.logits if batch.logits.ndim == 2 else batch.logits.transpose(1, 2)
    labels = batch.labels if logits.ndim == 2 else batch.labels[:, None].expand(-1, logits.shape[2])
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
