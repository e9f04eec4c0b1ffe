"""From the last map to vectors: over all of it, or over horizontal stripes of it."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["POOLINGS", "GeneralizedMean", "Stripes", "Whole"]

_SMALLEST = 1e-6


class GeneralizedMean(nn.Module):
    """Generalised-mean pooling with one trainable power for all channels, 3 at the start.

    Power 1 is the mean; large powers come close to the maximum. Values below 1e-6 count as 1e-6.

    Source: Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019, section 3.2.

    Args:
        power: at the start, above 0.
    """

    def __init__(self, power: float = 3.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([power]))
        self.mean = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 1, 1)."""
        return cast(Tensor, self.mean(x.clamp_min(_SMALLEST).pow(self.p)).pow(1 / self.p))


POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "avg": lambda: nn.AdaptiveAvgPool2d(1),
    "gem": GeneralizedMean,
    "max": lambda: nn.AdaptiveMaxPool2d(1),
}


class Whole(nn.Module):
    """One vector of the whole map.

    Args:
        pooling: (B, C, H, W) to (B, C, 1, 1).
    """

    def __init__(self, pooling: nn.Module) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, C, H, W) to one (B, C)."""
        return (self.pooling(x).flatten(1),)


class Stripes(nn.Module):
    """One vector per horizontal stripe, from top to bottom, and one of the whole map.

    Stripe i of n covers the rows from floor(i H / n) to ceil((i + 1) H / n), as adaptive pooling does: where
    n does not divide H, neighbours share a row.

    Source: Sun et al., Beyond Part Models: Person Retrieval with Refined Part Pooling, ECCV 2018, section 3.1;
    the vector of the whole map is pytorch-reid-lite's global branch.

    Args:
        pooling: (B, C, H, W) to (B, C, 1, 1).
        parts: stripes, >= 1.
    """

    def __init__(self, pooling: nn.Module, parts: int) -> None:
        super().__init__()
        self.pooling, self.parts = pooling, parts

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, C, H, W) to parts + 1 times (B, C)."""
        stripes = [_stripe(x, index, self.parts) for index in range(self.parts)]
        return tuple(self.pooling(rows).flatten(1) for rows in (*stripes, x))


def _stripe(x: Tensor, index: int, parts: int) -> Tensor:
    height = x.shape[2]
    return x[:, :, index * height // parts : -(-(index + 1) * height // parts)]


# Symbolic tracing knows no heights; it takes a stripe as one operation.
torch.fx.wrap("_stripe")
