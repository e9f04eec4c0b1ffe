"""Terms that tell the images, or the identities, of a batch apart without a classifier.

Features are L2-normalised in this module.
"""

from typing import cast

import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import InstanceLoss
from torch import Tensor, nn

from reid.losses.batch import LossContext, LossInput

__all__ = ["Instance", "InstanceIdentity"]

_SCALE = 32


class Instance(nn.Module):
    """Cross-entropy of recognising each image among those of the batch by its cosines, scaled by 32.

    Every image is a class of its own, also beside others of its identity.

    Source: Zheng et al., Dual-Path Convolutional Image-Text Embeddings with Instance Loss, TOMM 2020,
    in the form of layumi's Person_reID_baseline_pytorch: the features of the batch are the classifier.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.loss = InstanceLoss(gamma=_SCALE)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch."""
        return _recognise(self.loss, batch.feature)


class InstanceIdentity(nn.Module):
    """As `Instance`, among the identities of the batch: each is the mean of its normalised features.

    Source: layumi's Person_reID_baseline_pytorch, option instance_id.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.loss = InstanceLoss(gamma=_SCALE)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the identities of the batch."""
        identities, member = torch.unique(batch.labels, return_inverse=True)
        sums = batch.feature.new_zeros(len(identities), batch.feature.shape[1])
        # Cosines do not see the length, so a sum is as good as a mean.
        return _recognise(self.loss, sums.index_add(0, member, F.normalize(batch.feature)))


def _recognise(loss: nn.Module, features: Tensor) -> Tensor:
    # The library takes labels for columns of the similarities, hence one for each row.
    return cast(Tensor, loss(features, torch.arange(len(features), device=features.device)))
