"""What a loss term may look at: one batch as the network and its teacher see it, and facts that stay fixed."""

from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["LossContext", "LossInput"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossInput:
    """One training batch, everything in float32.

    Attributes:
        feature: (B, D) what metric losses see, not L2-normalised.
        embedding: (B, D) what retrieval uses, not L2-normalised.
        logits: (B, C), or (B, parts, C) of a network with one classifier a part.
        labels: (B,) int64 in [0, C).
        teacher: (B, T) the teacher's embeddings of the same images, plain or augmented as these are, or None.
    """

    feature: Tensor
    embedding: Tensor
    logits: Tensor
    labels: Tensor
    teacher: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossContext:
    """What a term may need to know when it is built.

    Attributes:
        model: the network that is trained.
        embedding_dim: D, width of the feature and of the embedding.
        num_classes: C, identities trained on.
        label_smoothing: share of the target that softmax spreads over all identities, in [0, 1).
        teacher_centres: (C, T) mean teacher embedding of each identity, or None without a teacher.
    """

    model: nn.Module
    embedding_dim: int
    num_classes: int
    label_smoothing: float = 0.1
    teacher_centres: Tensor | None = None
