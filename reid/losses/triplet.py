"""An image must lie nearer to others of its identity than to those of another, by Euclidean distance.

Features are not normalised in this module, as in the sources.
"""

from typing import cast

from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from reid.losses.batch import LossContext, LossInput

__all__ = ["Triplet", "TripletAdaptive", "TripletSoft"]

_MARGIN = 0.3


class Triplet(nn.Module):
    """Hinge, margin 0.3, between each image's farthest positive and nearest negative in the batch.

    Source: Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017, equation 5,
    with a hard margin.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.hardest, self.hinge = _batch_hard(margin=_MARGIN, soft=False)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the images that have a positive and a negative; zero when none has."""
        triplets = self.hardest(batch.feature, batch.labels)
        return cast(Tensor, self.hinge(batch.feature, batch.labels, triplets))


class TripletSoft(nn.Module):
    """As `Triplet`, with log(1 + exp(x)) in place of the hinge: satisfied triplets go on pulling a little.

    Source: Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017, section 2, soft
    margin.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.hardest, self.hinge = _batch_hard(margin=0.0, soft=True)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the images that have a positive and a negative; zero when none has."""
        triplets = self.hardest(batch.feature, batch.labels)
        return cast(Tensor, self.hinge(batch.feature, batch.labels, triplets))


class TripletAdaptive(nn.Module):
    """Hinge, margin 0.3, between weighted means of each image's distances to its positives and negatives.

    The weights are the softmax of the distances for positives, the softmin for negatives, so that a single
    mislabelled image does not decide. They are constants of the step: no gradient runs through them, as it
    would push positives that are nearer than the others away.

    Source: Ristani and Tomasi, Features for Multi-Target Multi-Camera Tracking and Re-Identification,
    CVPR 2018, adaptive weights.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.distance = LpDistance(normalize_embeddings=False)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the images that have a positive and a negative; zero when none has."""
        same = batch.labels[:, None] == batch.labels
        other = ~same
        same = same.fill_diagonal_(False)
        usable = same.any(1) & other.any(1)
        if not usable.any():
            return batch.feature.sum() * 0.0
        distances = cast(Tensor, self.distance(batch.feature))[usable]
        same, other = same[usable], other[usable]
        far = (_softmax_among(distances, same) * distances).sum(1)
        near = (_softmax_among(-distances, other) * distances).sum(1)
        return (far - near + _MARGIN).relu().mean()


def _batch_hard(*, margin: float, soft: bool) -> tuple[nn.Module, nn.Module]:
    euclidean = LpDistance(normalize_embeddings=False)
    # Satisfied triplets count as zeros; leaving them out would raise the step size as training succeeds.
    hinge = TripletMarginLoss(margin=margin, smooth_loss=soft, distance=euclidean, reducer=MeanReducer())
    return BatchHardMiner(distance=euclidean), hinge


def _softmax_among(values: Tensor, members: Tensor) -> Tensor:
    return values.detach().masked_fill(~members, float("-inf")).softmax(1)
