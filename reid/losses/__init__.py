"""Training losses by name; terms joined by "+" are added up."""

from collections.abc import Callable

from torch import Tensor

from reid.config import reject_unknown
from reid.errors import ConfigError
from reid.losses.softmax import softmax
from reid.losses.triplet import triplet

__all__ = ["LOSSES", "Loss", "parse_loss"]

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Features (B, D), logits (B, C) and labels (B,) to a scalar."""

LOSSES: dict[str, Loss] = {"softmax": softmax, "triplet": triplet}


def parse_loss(spec: str) -> Loss:
    """The sum of the terms of `spec`, each with weight one.

    Args:
        spec: keys of `LOSSES` joined by "+", e.g. "triplet+softmax"; spaces around them are allowed.

    Raises:
        ConfigError: an unknown term (lists the known), a term given twice or an empty one.

    Example:
        >>> loss = parse_loss("triplet+softmax")
    """
    names = [name.strip() for name in spec.split("+")]
    reject_unknown(names, LOSSES, f"term of loss {spec!r}:")
    if len(set(names)) < len(names):
        raise ConfigError(f"loss {spec!r} names a term twice; name each once")
    terms = [LOSSES[name] for name in names]

    def total(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        values = [term(features, logits, labels) for term in terms]
        return sum(values[1:], start=values[0])

    return total
