"""Distances between the images of a batch."""

from typing import cast

from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

__all__ = ["triplet"]

_MARGIN = 0.3
_EUCLIDEAN = LpDistance(normalize_embeddings=False)
_HARDEST = BatchHardMiner(distance=_EUCLIDEAN)
# Satisfied triplets count as zeros; leaving them out would raise the step size as training succeeds.
_HINGE = TripletMarginLoss(margin=_MARGIN, distance=_EUCLIDEAN, reducer=MeanReducer())


def triplet(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Hinge, margin 0.3, between each image's farthest positive and nearest negative in the batch.

    Source: Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017, equation 5,
    with a hard margin.

    Args:
        features: (B, D) float32, Euclidean space, not normalised.
        logits: not looked at.
        labels: (B,) int64, each identity at least twice.

    Returns:
        Scalar, mean over the images that have a positive and a negative; zero when none has.
    """
    return cast(Tensor, _HINGE(features, labels, _HARDEST(features, labels)))
