"""What every network of this project offers to training, pruning and export."""

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor, nn

__all__ = ["ReIDNetwork"]


class ReIDNetwork(nn.Module):
    """A backbone with an embedding for retrieval and a classifier for training.

    Subclasses own a `classifier` over the embedding. No forward pass names a channel count, so that the
    network still runs when channels are removed from its layers.

    Attributes:
        blocks: names of the residual blocks, as `get_submodule` takes them, e.g. "layer1.0".
        classifier: embedding to identities; used in training only.
    """

    blocks: ClassVar[tuple[str, ...]]
    classifier: nn.Linear

    @property
    @abstractmethod
    def embedding_dim(self) -> int:
        """Width of the embedding as the layers are now."""

    @abstractmethod
    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The feature that metric losses see and the embedding used for retrieval.

        Args:
            images: (B, 3, H, W) float32, normalised by `reid.data.normalize`.

        Returns:
            Two (B, embedding_dim) tensors, which may be one and the same; neither is L2-normalised.
        """

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Embedding in eval mode; feature for the metric loss and class logits in training mode.

        Args:
            images: (B, 3, H, W) float32, normalised by `reid.data.normalize`.

        Returns:
            `.eval()`: (B, embedding_dim), not L2-normalised.
            `.train()`: (B, embedding_dim) feature and (B, num_classes) logits.
        """
        feature, embedding = self.embed(images)
        if self.training:
            return feature, self.classifier(embedding)
        return embedding
