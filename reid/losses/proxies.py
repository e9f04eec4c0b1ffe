"""Classification with a margin: a trained vector stands for each identity, logits are cosines to it.

The vectors are parameters of the term and are trained with the network, not a classifier of the network.
"""

from math import comb
from typing import cast

import torch
from pytorch_metric_learning.losses import ArcFaceLoss, CosFaceLoss, SphereFaceLoss
from torch import Tensor, nn

from reid.losses.batch import LossContext, LossInput

__all__ = ["AMSoftmax", "ArcFace", "CosFace", "SphereFace"]

_LARGEST_COSINE = 1 - 1e-7


class ArcFace(nn.Module):
    """Cross-entropy of cosines scaled by 64, where the angle to the own identity is taken 28.6° larger.

    The feature is L2-normalised. Angles too near to 180° for the margin keep their cosine minus m sin m.

    Source: Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019, equation 3
    (margin 0.5 rad, scale 64).
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.loss = _BoundedArcFace(context.num_classes, context.embedding_dim, margin=28.6, scale=64)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch."""
        return cast(Tensor, self.loss(batch.feature, batch.labels))


class CosFace(nn.Module):
    """Cross-entropy of cosines scaled by 64, that of the own identity made 0.35 smaller.

    The feature is L2-normalised.

    Source: Wang et al., CosFace: Large Margin Cosine Loss for Deep Face Recognition, CVPR 2018, equation 4.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.loss = CosFaceLoss(context.num_classes, context.embedding_dim, margin=0.35, scale=64)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch."""
        return cast(Tensor, self.loss(batch.feature, batch.labels))


class AMSoftmax(nn.Module):
    """Cross-entropy of cosines scaled by 30, that of the own identity made 0.35 smaller: CosFace, less sharp.

    The feature is L2-normalised, for the own identity and for all others alike.

    Source: Wang et al., Additive Margin Softmax for Face Verification, IEEE Signal Processing Letters 2018,
    section 3.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.loss = CosFaceLoss(context.num_classes, context.embedding_dim, margin=0.35, scale=30)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch."""
        return cast(Tensor, self.loss(batch.feature, batch.labels))


class SphereFace(nn.Module):
    """Cross-entropy of cosines times the feature's length, where the angle to the own identity counts 4 times.

    The feature is not normalised, the vectors of the identities are. The cosine of the own angle is continued
    so that it falls from 1 at 0° to -7 at 180°. The margin is not annealed.

    Source: Liu et al., SphereFace: Deep Hypersphere Embedding for Face Recognition, CVPR 2017, equation 7.
    layumi's Person_reID_baseline_pytorch normalises the feature first, which keeps all logits below 1.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.loss = _OwnMarginSphereFace(context.num_classes, context.embedding_dim, margin=4, scale=1)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch."""
        return cast(Tensor, self.loss(batch.feature, batch.labels))


class _BoundedArcFace(ArcFaceLoss):  # type: ignore[misc]
    def get_angles(self, cosine_of_target_classes: Tensor) -> Tensor:
        # The arc cosine has no slope at 1; a feature that lies on its identity's vector would give NaN.
        bounded = cosine_of_target_classes.clamp(-_LARGEST_COSINE, _LARGEST_COSINE)
        return cast(Tensor, super().get_angles(bounded))


class _OwnMarginSphereFace(SphereFaceLoss):  # type: ignore[misc]
    def init_margin(self) -> None:
        # The library's own hands tensors to scipy, which NumPy 2 warns of and a later one refuses.
        halves = range(self.margin // 2 + 1)
        self.n_range = torch.tensor(halves)
        self.margin_choose_n = torch.tensor([comb(self.margin, 2 * n) for n in halves])
        self.cos_powers = self.margin - 2 * self.n_range
        self.alternating = (-1) ** self.n_range
