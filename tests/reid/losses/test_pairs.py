"""Pair terms against loops over the pairs of each image."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reid.losses import LossInput
from tests.reid.losses.batches import batch, term, unit

Rows = NDArray[np.float64]


def pairs(images: LossInput) -> Iterator[tuple[Rows, Rows]]:
    """Cosines of each image to its positives and its negatives."""
    rows, labels = unit(images.feature), images.labels.numpy()
    for i, row in enumerate(rows):
        cosines = rows @ row
        yield cosines[(labels == labels[i]) & (np.arange(len(labels)) != i)], cosines[labels != labels[i]]


def circle(positive: Rows, negative: Rows) -> float:
    if not (len(positive) and len(negative)):
        return 0.0
    rise = sum(math.exp(32 * max(0, s + 0.25) * (s - 0.25)) for s in negative)
    fall = sum(math.exp(-32 * max(0, 1.25 - s) * (s - 0.75)) for s in positive)
    return math.log1p(rise * fall)


def lifted(positive: Rows, negative: Rows) -> float:
    far = math.log(sum(math.exp(d) for d in np.sqrt(2 - 2 * positive))) if len(positive) else 0.0
    near = math.log(sum(math.exp(1 - d) for d in np.sqrt(2 - 2 * negative))) if len(negative) else 0.0
    return max(0.0, far + near)


def multi_similarity(positive: Rows, negative: Rows) -> float:
    if not (len(positive) and len(negative)):
        return 0.0
    hard_positive = positive[positive < negative.max() + 0.1]
    hard_negative = negative[negative > positive.min() - 0.1]
    pull = math.log1p(np.exp(-2 * (hard_positive - 0.5)).sum()) / 2
    push = math.log1p(np.exp(50 * (hard_negative - 0.5)).sum()) / 50
    return pull + push


@pytest.mark.parametrize(
    ("name", "reference"),
    [("circle", circle), ("lifted", lifted), ("multi-similarity", multi_similarity)],
)
@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_mean_over_the_images(name: str, reference: Callable[[Rows, Rows], float], seed: int) -> None:
    images = batch(seed, size=20)
    expected = np.mean([reference(*pair) for pair in pairs(images)])
    assert term(name)(images).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_contrastive_averages_what_is_above_zero(seed: int) -> None:
    images = batch(seed)
    positive = [d for same, _ in pairs(images) for d in np.sqrt(2 - 2 * same) if d > 0]
    negative = [1 - d for _, other in pairs(images) for d in np.sqrt(2 - 2 * other) if d < 1]
    expected = sum(np.mean(kind) for kind in (positive, negative) if kind)
    assert term("contrastive")(images).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ["circle", "contrastive", "lifted", "multi-similarity"])
def test_length_of_a_feature_does_not_matter(name: str) -> None:
    images = batch()
    before = term(name)(images).item()
    images.feature.mul_(torch.linspace(0.1, 30, len(images.labels))[:, None])
    assert term(name)(images).item() == pytest.approx(before, rel=1e-9)
