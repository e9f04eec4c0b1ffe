"""A handful of people who are quickly learnt apart, and what trains on them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reid.models import ReIDNetwork, build
from reid.train import Recipe

RECIPE = Recipe(
    epochs=3,
    learning_rate=1e-3,
    warmup_epochs=1,
    identities_per_batch=4,
    images_per_identity=2,
    precision="fp32",
    seed=7,
)


def people(identities: int = 6, each: int = 4) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noisy views of coarse random patterns, one pattern per identity, 64 x 32."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 256, (identities, 1, 8, 4, 3)).repeat(8, 2).repeat(8, 3)
    views = patterns + random.normal(0, 30, (identities, each, 64, 32, 3))
    return views.clip(0, 255).astype(np.uint8).reshape(-1, 64, 32, 3), np.repeat(np.arange(identities), each)


IMAGES, LABELS = people()


def network(name: str = "osnet_x0_25") -> ReIDNetwork:
    torch.manual_seed(0)
    return build(name, 6)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)
