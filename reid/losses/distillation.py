"""Terms that pull the network towards a teacher's embeddings of the same images.

Embeddings of both are L2-normalised in this module, as they are for retrieval; only `DistillLogit` compares
logits. No gradient runs into the teacher.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.losses.batch import LossContext, LossInput

__all__ = [
    "DistillAngle",
    "DistillCosine",
    "DistillDistance",
    "DistillEmbedding",
    "DistillLogit",
    "DistillSimilarity",
]

_SIMILARITY_TEMPERATURE = 0.1
_LOGIT_TEMPERATURE = 4.0
_CENTRE_SCALE = 32.0
_NEAREST = 1e-3


class DistillEmbedding(nn.Module):
    """One minus the cosine between a learned linear image of the embedding and the teacher's embedding.

    Source: Romero et al., FitNets, ICLR 2015, section 2.2 (regressor to the teacher's width), with the cosine
    in place of the squared distance because retrieval ranks by it.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.regressor = nn.Linear(context.embedding_dim, _centres(context).shape[1], bias=False)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch, in [0, 2]."""
        return 1 - F.cosine_similarity(self.regressor(batch.embedding), _teacher(batch)).mean()


class DistillCosine(nn.Module):
    """One minus the cosine between the embedding and that of a teacher of the same width.

    For a student that is to embed as the teacher does, such as its quantized copy; `DistillEmbedding` is for others.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        width = _centres(context).shape[1]
        if width != context.embedding_dim:
            raise ConfigError(
                f"distill-cosine: the teacher's embedding is {width} wide, the network's {context.embedding_dim}; "
                "take distill-embedding"
            )

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over the batch, in [0, 2]."""
        return 1 - F.cosine_similarity(batch.embedding, _teacher(batch)).mean()


class DistillDistance(nn.Module):
    """Huber loss between the pairwise distances of the batch, each set divided by its mean.

    Distances that are zero count towards the mean; the gradient runs through it.

    Source: Park et al., Relational Knowledge Distillation, CVPR 2019, section 3.2.1, on unit vectors.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        _centres(context)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over all pairs of two images."""
        return F.smooth_l1_loss(_relative_distances(batch.embedding), _relative_distances(_teacher(batch)))


class DistillAngle(nn.Module):
    """Huber loss between the cosines of the angles that two images of the batch subtend at a third.

    Directions between embeddings less than 0.001 apart are shortened: an image that the batch holds twice has
    no angle, and one made of rounding errors would have a gradient without bounds.

    Source: Park et al., Relational Knowledge Distillation, CVPR 2019, section 3.2.2, on unit vectors.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        _centres(context)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean over all triplets of three images."""
        own, wanted = _angles(batch.embedding), _angles(_teacher(batch))
        size = len(own)
        different = ~torch.eye(size, dtype=torch.bool, device=own.device)
        # At an image itself there is no angle, and an image subtends none with itself: both are left out.
        distinct = different[:, :, None] & different[:, None, :] & different[None]
        return F.smooth_l1_loss(own[distinct], wanted[distinct])


class DistillSimilarity(nn.Module):
    """Divergence between how student and teacher spread each image's likeness over the rest of the batch.

    An image's likeness to another is their cosine divided by 0.1; a softmax makes shares of it.

    Source: Koohpayegani et al., CompRess: Self-Supervised Learning by Compressing Representations,
    NeurIPS 2020, section 3, in the form with anchors of the student's own (2q), the batch being the anchors.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        _centres(context)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean Kullback-Leibler divergence over the batch, in nats."""
        own, wanted = _log_likeness(batch.embedding), _log_likeness(_teacher(batch))
        return F.kl_div(own, wanted, reduction="batchmean", log_target=True)


class DistillLogit(nn.Module):
    """Divergence of the class probabilities from those of the teacher, both softened.

    A teacher that only embeds has no logits for these identities: its cosine to the mean embedding of each
    identity stands for them, scaled by 32. Both are divided by a temperature of 4. Parts are averaged.

    Source: Hinton et al., Distilling the Knowledge in a Neural Network, 2015, section 2.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.register_buffer("centres", F.normalize(_centres(context)), persistent=False)

    def forward(self, batch: LossInput) -> Tensor:
        """Mean Kullback-Leibler divergence over the batch, in nats, times the squared temperature.

        Raises:
            ConfigError: the network does not have as many classes as there are identities.
        """
        classes, identities = batch.logits.shape[-1], len(cast(Tensor, self.centres))
        if classes != identities:
            raise ConfigError(
                f"distill-logit: {identities} identities, a network of {classes} classes; build it with {identities}"
            )
        cosines = F.normalize(_teacher(batch)) @ cast(Tensor, self.centres).T
        wanted = F.log_softmax(cosines * _CENTRE_SCALE / _LOGIT_TEMPERATURE, dim=-1)
        logits = batch.logits if batch.logits.ndim == 3 else batch.logits[:, None]
        own = F.log_softmax(logits / _LOGIT_TEMPERATURE, dim=-1)
        divergence = F.kl_div(own, wanted[:, None].expand_as(own), reduction="none", log_target=True).sum(-1)
        return divergence.mean() * _LOGIT_TEMPERATURE**2


def _relative_distances(embeddings: Tensor) -> Tensor:
    unit = F.normalize(embeddings)
    upper = torch.triu_indices(len(unit), len(unit), offset=1, device=unit.device)
    distances: Tensor = (unit[upper[0]] - unit[upper[1]]).norm(dim=1)
    return distances / distances.mean().clamp_min(1e-12)


def _angles(embeddings: Tensor) -> Tensor:
    unit = F.normalize(embeddings)
    directions = F.normalize(unit[None] - unit[:, None], dim=-1, eps=_NEAREST)
    return directions @ directions.transpose(1, 2)


def _log_likeness(embeddings: Tensor) -> Tensor:
    unit = F.normalize(embeddings)
    cosines = unit @ unit.T / _SIMILARITY_TEMPERATURE
    others = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    return F.log_softmax(cosines[others].view(len(unit), -1), dim=1)


def _teacher(batch: LossInput) -> Tensor:
    assert batch.teacher is not None, "a term that needs a teacher was built, so there is one"
    return batch.teacher


def _centres(context: LossContext) -> Tensor:
    if context.teacher_centres is None:
        raise ConfigError("the distill- terms of loss need a teacher; set teacher to its file")
    return context.teacher_centres
