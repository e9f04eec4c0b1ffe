"""What every network of this project offers to training, pruning and export."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

__all__ = ["ReIDNetwork", "TrainingOutput"]


class TrainingOutput(NamedTuple):
    """What a network in training mode gives to the losses; no tensor is L2-normalised.

    Attributes:
        feature: (B, D), what metric losses see.
        embedding: (B, D), what retrieval uses.
        logits: (B, C), or (B, parts, C) where each image is judged several times; an identity loss then takes
            the mean over the parts of their cross-entropies.
    """

    feature: Tensor
    embedding: Tensor
    logits: Tensor


class ReIDNetwork(nn.Module):
    """A backbone with an embedding for retrieval and a classifier for training.

    Subclasses own a `classifier` over the embedding. No forward pass names a channel count, so that the
    network still runs when channels are removed from its layers.

    Attributes:
        blocks: names of the residual blocks, as `get_submodule` takes them, e.g. "layer1.0".
        classifier: (B, embedding_dim) to logits as in `TrainingOutput`; used in training only.
        renamed: (pattern, replacement) of entries that weight files of others name differently.
        example_size: (height, width) of images that it takes.
    """

    blocks: tuple[str, ...]
    classifier: nn.Module
    renamed: ClassVar[tuple[tuple[str, str], ...]] = ()
    example_size: tuple[int, int] = (64, 32)

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

    def own_names(self, given: Mapping[str, Tensor]) -> dict[str, str]:
        """What this network calls the entries of a weight file, by their names there.

        Args:
            given: the file.
        """
        own = {}
        for name in given:
            renamed = name
            for pattern, replacement in self.renamed:
                renamed = re.sub(pattern, replacement, renamed)
            # A file that has such a name already is not of those that rename.
            own[name] = name if renamed in given else renamed
        return own

    def judge(self, embedding: Tensor) -> Tensor:
        """Logits of a training step, as in `TrainingOutput`, from (B, embedding_dim) embeddings."""
        logits: Tensor = self.classifier(embedding)
        return logits

    def forward(self, images: Tensor) -> Tensor | TrainingOutput:
        """Embedding in eval mode; what the losses want in training mode.

        Args:
            images: (B, 3, H, W) float32, normalised by `reid.data.normalize`.

        Returns:
            `.eval()`: (B, embedding_dim), not L2-normalised.
            `.train()`: feature, embedding and class logits.
        """
        feature, embedding = self.embed(images)
        if self.training:
            return TrainingOutput(feature, embedding, self.judge(embedding))
        return embedding
