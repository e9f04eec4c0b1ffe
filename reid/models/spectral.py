"""The spectral feature transform: each feature of a batch mixed with those that resemble it."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

__all__ = ["SpectralTransform"]


class SpectralTransform(nn.Module):
    """Replaces the features X of a batch by T X with T = softmax of their cosines over the temperature.

    The softmax runs over each row, so that every new feature is a weighted mean of the old ones, as in the
    paper, where T is the transition matrix of a random walk; pytorch-reid-lite takes it over the columns. The
    classifier judges X and T X, and their cross-entropies count alike. It acts from the first step on, while
    pytorch-reid-lite waits for a batch accuracy of 0.9.

    Source: Luo et al., Spectral Feature Transformation for Person Re-identification, ICCV 2019, section 3.2.

    Args:
        temperature: above 0; small values leave the features as they are, large ones give their mean.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) to (B, D); gradients flow through the weights of the mean too."""
        # A small temperature magnifies what bfloat16 rounds off the cosines.
        with torch.autocast(features.device.type, enabled=False):
            exact = features.float()
            directions = normalize(exact, dim=1)
            transition = (directions @ directions.T / self.temperature).softmax(dim=1)
            return (transition @ exact).to(features.dtype)
