"""Batches and terms for the tests of this room, in double precision."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid.losses import LOSSES, LossContext, LossInput

CLASSES = 5
DIM = 6


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, DIM))


def context(teacher: bool = True, **changes: object) -> LossContext:
    centres = torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(3)).double()
    values = {
        "model": network(),
        "embedding_dim": DIM,
        "num_classes": CLASSES,
        "teacher_centres": centres if teacher else None,
    }
    return LossContext(**(values | changes))


def term(name: str, **changes: object) -> nn.Module:
    return LOSSES[name](context(**changes)).double()


def batch(seed: int = 0, size: int = 12, **changes: object) -> LossInput:
    """Random features in clusters, of a size at which margins bind for some images only."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, size)
    feature = random.normal(0, 0.5, (size, DIM)) + np.eye(CLASSES, DIM)[labels]
    values = {
        "feature": torch.tensor(feature),
        "embedding": torch.tensor(random.normal(0, 1, (size, DIM)) + np.eye(CLASSES, DIM)[labels]),
        "logits": torch.tensor(random.normal(0, 2, (size, CLASSES))),
        "labels": torch.tensor(labels),
        "teacher": torch.tensor(random.normal(0, 1, (size, DIM)) + np.eye(CLASSES, DIM)[labels]),
    }
    return LossInput(**(values | changes))


def unit(rows: Tensor) -> NDArray[np.float64]:
    values = rows.detach().numpy()
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def cross_entropy(logits: NDArray[np.float64], label: int) -> float:
    return float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label])
