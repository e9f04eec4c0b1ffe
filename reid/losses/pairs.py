"""Terms over the pairs of a batch: those of one identity and those of two.

Features are L2-normalised in this module.
"""

from typing import cast

from pytorch_metric_learning.losses import (
    CircleLoss,
    ContrastiveLoss,
    GeneralizedLiftedStructureLoss,
    MultiSimilarityLoss,
)
from pytorch_metric_learning.miners import MultiSimilarityMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from reid.losses.batch import LossContext, LossInput

__all__ = ["Circle", "Contrastive", "Lifted", "MultiSimilarity"]


class Circle(nn.Module):
    """Cosines of each image's pairs, weighted by how far each is from where it should be.

    softplus(LSE_n γ aₙ (sₙ - m) + LSE_p -γ aₚ (sₚ - (1 - m))) with aₙ = [sₙ + m]₊ and aₚ = [1 + m - sₚ]₊, which
    carry no gradient; relaxation m 0.25, scale γ 32. An image without a positive or a negative counts as zero.

    Source: Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, CVPR 2020,
    equation 6, one term an image; m and γ of layumi's Person_reID_baseline_pytorch, which takes one term for
    all pairs of the batch and divides it by the batch.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.loss = CircleLoss(m=0.25, gamma=32, reducer=MeanReducer())

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch."""
        return cast(Tensor, self.loss(batch.feature, batch.labels))


class Contrastive(nn.Module):
    """Distance of each pair of one identity, and what each pair of two identities lacks to a distance of 1.

    Source: Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, section 2.1,
    with distances in place of their squares; margins 0 and 1 of layumi's Person_reID_baseline_pytorch.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.loss = ContrastiveLoss(pos_margin=0, neg_margin=1)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean of the positive distances above zero plus mean of the shortfalls above zero."""
        return cast(Tensor, self.loss(batch.feature, batch.labels))


class Lifted(nn.Module):
    """Smooth maximum of each image's positive distances d plus that of its negative 1 - d, where above zero.

    A smooth maximum is the logarithm of a sum of exponentials; that of no pairs is zero.

    Source: Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017, section 2,
    generalised lifted embedding; margin 1 of layumi's Person_reID_baseline_pytorch.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.loss = GeneralizedLiftedStructureLoss(pos_margin=0, neg_margin=1)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch."""
        return cast(Tensor, self.loss(batch.feature, batch.labels))


class MultiSimilarity(nn.Module):
    """log(1 + Σₚ exp(-α (s - λ))) / α + log(1 + Σₙ exp(β (s - λ))) / β over the informative cosines of an image.

    α 2, β 50, λ 0.5. A positive is informative below the nearest negative's cosine plus 0.1, a negative above
    the farthest positive's minus 0.1.

    Source: Wang et al., Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning, CVPR 2019,
    section 4; λ as pytorch-metric-learning sets it.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.informative = MultiSimilarityMiner(epsilon=0.1)
        self.loss = MultiSimilarityLoss(alpha=2, beta=50, base=0.5)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch; an image without informative pairs counts as zero."""
        pairs = self.informative(batch.feature, batch.labels)
        return cast(Tensor, self.loss(batch.feature, batch.labels, pairs))
