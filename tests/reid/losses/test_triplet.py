"""Triplet terms against loops over the images."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.reid.losses.batches import batch, term

Rows = NDArray[np.float64]


def distances_to_both(features: Rows, labels: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Distances to the positives and to the negatives of each image that has both."""
    for i, anchor in enumerate(features):
        distances = np.sqrt(((features - anchor) ** 2).sum(1))
        same = (labels == labels[i]) & (np.arange(len(labels)) != i)
        other = labels != labels[i]
        if same.any() and other.any():
            yield distances[same], distances[other]


def weighted(values: Rows, sign: int) -> float:
    weights = np.exp(sign * values)
    return (weights * values).sum() / weights.sum()


REFERENCES = {
    "triplet": lambda same, other: max(0.0, same.max() - other.min() + 0.3),
    "triplet-soft": lambda same, other: np.log1p(np.exp(same.max() - other.min())),
    "triplet-adaptive": lambda same, other: max(0.0, weighted(same, 1) - weighted(other, -1) + 0.3),
}


@pytest.mark.parametrize("name", sorted(REFERENCES))
@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.01, 0.3, 1.0, 20.0]))
def test_mean_over_the_images_with_both_kinds_of_pairs(name: str, seed: int, scale: float) -> None:
    images = batch(seed)
    images = dataclasses.replace(images, feature=scale * images.feature)
    terms = [
        REFERENCES[name](*pair) for pair in distances_to_both(images.feature.numpy(), images.labels.numpy())
    ]
    expected = np.mean(terms) if terms else 0.0
    assert term(name)(images).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ["triplet", "triplet-adaptive"])
def test_separated_identities_cost_nothing(name: str) -> None:
    labels = torch.tensor([0, 0, 1, 1])
    feature = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
    assert term(name)(dataclasses.replace(batch(size=4), feature=feature, labels=labels)).item() == 0


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_one_identity_costs_nothing_and_has_a_gradient(name: str) -> None:
    feature = torch.randn(4, 3, requires_grad=True)
    labels = torch.zeros(4, dtype=torch.long)
    loss = term(name)(dataclasses.replace(batch(size=4), feature=feature, labels=labels))
    loss.backward()
    assert loss.item() == 0
    assert not feature.grad.any()


def test_adaptive_weights_are_constants_of_the_step() -> None:
    images = batch(3)
    feature, labels = images.feature.numpy(), images.labels.numpy()
    fixed = [(np.exp(same), np.exp(-other)) for same, other in distances_to_both(feature, labels)]

    def value(moved: Rows) -> float:
        terms = [
            max(0.0, np.average(same, weights=pull) - np.average(other, weights=push) + 0.3)
            for (same, other), (pull, push) in zip(distances_to_both(moved, labels), fixed, strict=True)
        ]
        return np.mean(terms)

    slopes = np.zeros_like(feature)
    for place in np.ndindex(feature.shape):
        step = np.zeros_like(feature)
        step[place] = 1e-6
        slopes[place] = (value(feature + step) - value(feature - step)) / 2e-6
    leaf = images.feature.clone().requires_grad_()
    term("triplet-adaptive")(dataclasses.replace(images, feature=leaf)).backward()
    np.testing.assert_allclose(leaf.grad.numpy(), slopes, atol=1e-7)
