"""A body with pooling and a head: what the networks of this project have in common."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from reid.models.heads import HEADS, chosen_branches
from reid.models.network import ReIDNetwork
from reid.models.options import NetworkOptions
from reid.models.pooling import POOLINGS, Stripes, Whole
from reid.models.spectral import SpectralTransform

__all__ = ["HeadedNetwork"]


class HeadedNetwork(ReIDNetwork):
    """A network whose last map is pooled and then read by a head of `reid.models.heads`.

    Attributes:
        pool: last map to vectors.
        reduce: vectors to one; no parameters with head "bnneck".
        bottleneck: batch normalisation that gives the embedding.
        dropout: between embedding and classifier.
        transform: spectral feature transform, or None.
    """

    pool: nn.Module
    reduce: nn.Module
    bottleneck: nn.BatchNorm1d
    dropout: nn.Dropout
    transform: SpectralTransform | None

    @abstractmethod
    def extract(self, images: Tensor) -> Tensor:
        """Last map of the body.

        Args:
            images: (B, 3, H, W) float32, normalised by `reid.data.normalize`.

        Returns:
            (B, C, h, w).
        """

    def describe(self, pooled: Tensor) -> Tensor:
        """What the body does to a pooled (B, C) vector; nothing, unless a subclass says otherwise."""
        return pooled

    @property
    def embedding_dim(self) -> int:
        """Width of the embedding as the layers are now."""
        return self.bottleneck.num_features

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Feature for metric losses and embedding, each (B, embedding_dim)."""
        vectors = tuple(self.describe(vector) for vector in self.pool(self.extract(images)))
        feature = self.reduce(vectors)
        embedding = self.bottleneck(feature)
        return (feature if self._metric_before_norm else embedding), embedding

    def judge(self, embedding: Tensor) -> Tensor:
        """Logits of a training step.

        Returns:
            (B, C); with head "pcb" or the spectral transform (B, parts, C): one row per branch that is trained
            in this step, and as many again for the transformed embeddings.
        """
        seen = self.dropout(embedding)
        views = [seen] if self.transform is None else [seen, self.transform(seen)]
        rows = [logits if logits.dim() == 3 else logits[:, None] for logits in map(self.classifier, views)]
        branches = rows[0].shape[1]
        if self._drop_branches:
            chosen = chosen_branches(branches, self._drop_branches).to(embedding.device)
            rows = [logits.index_select(1, chosen) for logits in rows]
        return rows[0][:, 0] if branches == len(rows) == 1 else torch.cat(rows, dim=1)

    def _attach_head(self, width: int, num_classes: int, options: NetworkOptions) -> None:
        """Register pooling and head; `width` is that of the last map."""
        self._attach_pooling(options)
        head = HEADS["bnneck" if options.head == "default" else options.head](
            width, num_classes, options.parts
        )
        self.reduce, self.bottleneck, self.classifier = head.reduce, head.norm, head.classifier
        self._metric_before_norm = head.metric_before_norm
        self._attach_training(options, head.dropout)

    def _attach_pooling(self, options: NetworkOptions) -> None:
        pooling = POOLINGS[options.pooling]()
        self.pool = Stripes(pooling, options.parts) if options.head == "pcb" else Whole(pooling)

    def _attach_training(self, options: NetworkOptions, dropout: float) -> None:
        self.dropout = nn.Dropout(dropout if options.dropout is None else options.dropout)
        self.transform = None if options.spectral is None else SpectralTransform(options.spectral)
        self._drop_branches = options.drop_branches
