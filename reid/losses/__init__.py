"""Training losses by name, and weighted sums of them."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from reid.config import reject_unknown
from reid.errors import ConfigError
from reid.losses.batch import LossContext, LossInput
from reid.losses.distillation import (
    DistillAngle,
    DistillCosine,
    DistillDistance,
    DistillEmbedding,
    DistillLogit,
    DistillSimilarity,
)
from reid.losses.instance import Instance, InstanceIdentity
from reid.losses.l2 import L2
from reid.losses.pairs import Circle, Contrastive, Lifted, MultiSimilarity
from reid.losses.proxies import AMSoftmax, ArcFace, CosFace, SphereFace
from reid.losses.softmax import Focal, Softmax
from reid.losses.triplet import Triplet, TripletAdaptive, TripletSoft

__all__ = [
    "CLASSIFIER_TERMS",
    "LOSSES",
    "LossContext",
    "LossInput",
    "LossSum",
    "build_loss",
    "demand_mixable",
    "demand_relations",
    "needs_teacher",
    "parse_loss",
    "trains_classifier",
]

LOSSES: dict[str, Callable[[LossContext], nn.Module]] = {
    "am-softmax": AMSoftmax,
    "arcface": ArcFace,
    "circle": Circle,
    "contrastive": Contrastive,
    "cosface": CosFace,
    "distill-angle": DistillAngle,
    "distill-cosine": DistillCosine,
    "distill-distance": DistillDistance,
    "distill-embedding": DistillEmbedding,
    "distill-logit": DistillLogit,
    "distill-similarity": DistillSimilarity,
    "focal": Focal,
    "instance": Instance,
    "instance-id": InstanceIdentity,
    "l2": L2,
    "lifted": Lifted,
    "multi-similarity": MultiSimilarity,
    "softmax": Softmax,
    "sphereface": SphereFace,
    "triplet": Triplet,
    "triplet-adaptive": TripletAdaptive,
    "triplet-soft": TripletSoft,
}
"""Terms by name; each is built from a LossContext and maps a LossInput to a scalar."""

CLASSIFIER_TERMS = ("softmax", "focal", "distill-logit")
"""Terms that the network's classifier learns by; the others look at embeddings or have weights of their own."""

_RELATIONS = ("distill-distance", "distill-angle", "distill-similarity")
_LEAST_RELATED = 3


class LossSum(nn.Module):
    """Terms with weights; the parameters of terms that have some are trained with the network."""

    def __init__(self, weights: Mapping[str, float], context: LossContext) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.terms = nn.ModuleDict({name: LOSSES[name](context) for name in weights})

    def forward(self, batch: LossInput) -> dict[str, Tensor]:
        """Every term times its weight; their sum is what is minimised."""
        return {name: weight * self.terms[name](batch) for name, weight in self.weights.items()}


def build_loss(spec: str, context: LossContext) -> LossSum:
    """The weighted sum that `spec` names, with fresh parameters.

    Raises:
        ConfigError: as for `parse_loss`, or a distillation term without a teacher.
    """
    return LossSum(parse_loss(spec), context)


def needs_teacher(spec: str) -> bool:
    """Whether a term of `spec` compares with a teacher.

    Raises:
        ConfigError: as for `parse_loss`.
    """
    return any(name.startswith("distill-") for name in parse_loss(spec))


def trains_classifier(spec: str) -> bool:
    """Whether a term of `spec` trains the network's classifier.

    Raises:
        ConfigError: as for `parse_loss`.
    """
    return not parse_loss(spec).keys().isdisjoint(CLASSIFIER_TERMS)


def demand_relations(name: str, spec: str, batch_size: int) -> None:
    """Refuse terms that compare relations between the images of a batch where two images have only one.

    Args:
        name: of the setting, as messages call it.
        spec: its value.
        batch_size: images of a batch.

    Raises:
        ConfigError: names such terms; or as for `parse_loss`.
    """
    related = [term for term in parse_loss(spec) if term in _RELATIONS]
    if related and batch_size < _LEAST_RELATED:
        raise ConfigError(
            f"batch_size {batch_size} is too few for {', '.join(related)} of {name} {spec!r}; set it to "
            f"{_LEAST_RELATED} or more"
        )


def demand_mixable(spec: str) -> None:
    """Refuse terms that look at identities: a blend of two images shows neither person.

    Raises:
        ConfigError: names such terms; or as for `parse_loss`.
    """
    of_identities = [name for name in parse_loss(spec) if not name.startswith("distill-") and name != "l2"]
    if of_identities:
        raise ConfigError(
            f"mixup blends images of different persons, which loss {spec!r} cannot learn from: leave out "
            f"{', '.join(of_identities)} or set mixup to 0"
        )


def parse_loss(spec: str) -> dict[str, float]:
    """Weight of each term of a loss.

    Args:
        spec: keys of `LOSSES` joined by "+", each with an optional weight before it; spaces are allowed.

    Raises:
        ConfigError: an unknown term (lists the known), a term given twice or an empty one, a weight that is no
            positive number.

    Example:
        >>> parse_loss("triplet + softmax + 0.5*distill-distance")
        {'triplet': 1.0, 'softmax': 1.0, 'distill-distance': 0.5}
    """
    weights: dict[str, float] = {}
    for text in spec.split("+"):
        factor, times, name = (part.strip() for part in text.rpartition("*"))
        reject_unknown([name], LOSSES, f"term of loss {spec!r}:")
        if name in weights:
            raise ConfigError(f"loss {spec!r} names {name} twice; name each term once")
        weights[name] = _weight(factor, spec) if times else 1.0
    return weights


def _weight(text: str, spec: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"loss {spec!r}: {text!r} is no weight; give a positive number such as 0.5")
    return value
