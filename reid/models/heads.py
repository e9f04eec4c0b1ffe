"""From pooled vectors to the feature, the embedding and the logits: heads by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

__all__ = [
    "HEADS",
    "Head",
    "Only",
    "PartClassifier",
    "PartLinear",
    "bnneck",
    "chosen_branches",
    "linear",
    "pcb",
]

_LINEAR_WIDTH, _PART_WIDTH = 512, 256
_DROPOUT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a network takes from a head.

    Attributes:
        reduce: pooled vectors to one (B, D).
        norm: batch normalisation of that, which gives the embedding.
        classifier: embedding to logits.
        metric_before_norm: metric losses see what `norm` reads, else what it gives.
        dropout: share of the embedding hidden from the classifier where nothing else is asked.
    """

    reduce: nn.Module
    norm: nn.BatchNorm1d
    classifier: nn.Module
    metric_before_norm: bool
    dropout: float


class Only(nn.Module):
    """The one pooled vector as it is."""

    def forward(self, vectors: tuple[Tensor, ...]) -> Tensor:
        """One (B, C) to the same."""
        (vector,) = vectors
        return vector


class PartLinear(nn.ModuleList):
    """A linear layer for each pooled vector; their outputs side by side.

    Args:
        inputs: width of a pooled vector.
        outputs: width of each layer's output.
        count: pooled vectors, >= 1.
    """

    def __init__(self, inputs: int, outputs: int, count: int) -> None:
        super().__init__(nn.Linear(inputs, outputs) for _ in range(count))
        for layer in self:
            nn.init.kaiming_normal_(cast(nn.Linear, layer).weight, mode="fan_out")
            nn.init.zeros_(cast(nn.Linear, layer).bias)

    def forward(self, vectors: tuple[Tensor, ...]) -> Tensor:
        """`count` times (B, inputs) to (B, count * outputs)."""
        return torch.cat([layer(vector) for layer, vector in zip(self, vectors, strict=True)], dim=1)


class PartClassifier(nn.ModuleList):
    """A linear classifier for each part of an embedding.

    Args:
        width: of each part.
        num_classes: identities, >= 1.
        count: parts, >= 1.
    """

    def __init__(self, width: int, num_classes: int, count: int) -> None:
        super().__init__(nn.Linear(width, num_classes) for _ in range(count))
        for layer in self:
            nn.init.normal_(cast(nn.Linear, layer).weight, std=0.001)
            nn.init.zeros_(cast(nn.Linear, layer).bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, count * width) to (B, count, num_classes)."""
        parts = torch.split(embedding, [cast(nn.Linear, layer).in_features for layer in self], dim=1)
        return torch.stack([layer(part) for layer, part in zip(self, parts, strict=True)], dim=1)


def bnneck(width: int, num_classes: int, parts: int) -> Head:
    """The batch-normalisation neck: its shift stays zero, the classifier has no bias.

    Source: Luo et al., Bag of Tricks and A Strong Baseline for Deep Person Re-identification, CVPRW 2019,
    section 3.5.

    Args:
        width: of the pooled vector.
        num_classes: identities, >= 1.
        parts: not looked at.
    """
    norm = nn.BatchNorm1d(width)
    norm.bias.requires_grad_(False)
    classifier = nn.Linear(width, num_classes, bias=False)
    nn.init.normal_(classifier.weight, std=0.001)
    return Head(reduce=Only(), norm=norm, classifier=classifier, metric_before_norm=True, dropout=0.0)


def linear(width: int, num_classes: int, parts: int) -> Head:
    """The baseline's block: linear layer to 512, batch normalisation, dropout, classifier.

    Metric losses see the normalised feature; in the source it has passed the dropout too.

    Source: layumi, Person_reID_baseline_pytorch, ClassBlock.

    Args:
        width: of the pooled vector.
        num_classes: identities, >= 1.
        parts: not looked at.
    """
    norm = nn.BatchNorm1d(_LINEAR_WIDTH)
    nn.init.normal_(norm.weight, 1.0, 0.02)
    classifier = nn.Linear(_LINEAR_WIDTH, num_classes)
    nn.init.normal_(classifier.weight, std=1e-4)
    nn.init.zeros_(classifier.bias)
    reduce = PartLinear(width, _LINEAR_WIDTH, 1)
    return Head(reduce=reduce, norm=norm, classifier=classifier, metric_before_norm=False, dropout=_DROPOUT)


def pcb(width: int, num_classes: int, parts: int) -> Head:
    """Stripes and the whole map, each with its linear layer to 256, batch normalisation and classifier.

    The embedding is their concatenation, the stripes from top to bottom first; metric losses see it before the
    normalisation.

    Source: Sun et al., Beyond Part Models: Person Retrieval with Refined Part Pooling, ECCV 2018, section 3.1;
    the global branch and the batch normalisation are pytorch-reid-lite's.

    Args:
        width: of a pooled vector.
        num_classes: identities, >= 1.
        parts: stripes, >= 1.
    """
    count = parts + 1
    return Head(
        reduce=PartLinear(width, _PART_WIDTH, count),
        # The statistics of a channel are its own, so one layer does for all parts.
        norm=nn.BatchNorm1d(count * _PART_WIDTH),
        classifier=PartClassifier(_PART_WIDTH, num_classes, count),
        metric_before_norm=True,
        dropout=_DROPOUT,
    )


HEADS: dict[str, Callable[[int, int, int], Head]] = {"bnneck": bnneck, "linear": linear, "pcb": pcb}


def chosen_branches(branches: int, draws: int) -> Tensor:
    """The branches that a random branch update trains: those that none of the draws hit.

    Draws are with replacement, from torch's global generator; were all hit, one stays, by a further draw.

    Args:
        branches: how many there are, >= 1.
        draws: >= 0.

    Returns:
        Ascending indices, int64, 1 to `branches` of them.

    Source: pytorch-reid-lite, random_drop_branchs.
    """
    chosen = torch.ones(branches, dtype=torch.bool)
    chosen[torch.randint(branches, (draws,))] = False
    if not chosen.any():
        chosen[torch.randint(branches, (1,))] = True
    return chosen.nonzero().flatten()
