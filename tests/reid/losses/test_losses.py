"""Losses against formulas written out, image by image."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError
from reid.losses import LOSSES, parse_loss
from reid.losses.softmax import softmax
from reid.losses.triplet import triplet


def brute_triplet(features: np.ndarray, labels: np.ndarray) -> float:
    terms = []
    for i, anchor in enumerate(features):
        distances = np.sqrt(((features - anchor) ** 2).sum(1))
        same = (labels == labels[i]) & (np.arange(len(labels)) != i)
        other = labels != labels[i]
        if same.any() and other.any():
            terms.append(max(0.0, distances[same].max() - distances[other].min() + 0.3))
    return float(np.mean(terms)) if terms else 0.0


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.01, 0.3, 1.0, 20.0]))
def test_triplet_is_the_mean_hinge_of_the_hardest_pairs(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, 12)
    features = random.normal(0, scale, (12, 5)) + 2 * labels[:, None]
    found = triplet(torch.tensor(features), torch.empty(12, 4), torch.tensor(labels))
    assert float(found) == pytest.approx(brute_triplet(features, labels), rel=1e-6, abs=1e-9)


def test_triplet_of_separated_identities_is_zero() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    features = torch.tensor([[0.0], [0.1], [9.0], [9.1]])
    assert triplet(features, torch.empty(4, 2), labels).item() == 0


def test_gradient_of_equal_features_is_finite() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    triplet(features, torch.empty(4, 2), torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(features.grad).all()


def test_triplet_of_one_identity_is_zero_and_has_a_gradient() -> None:
    features = torch.randn(4, 3, requires_grad=True)
    loss = triplet(features, torch.empty(4, 1), torch.zeros(4, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert not features.grad.any()


def test_softmax_smooths_a_tenth_over_all_identities() -> None:
    logits, labels = torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 4, 0])
    expected = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(v) for v in row))
        target = [0.1 / 5 + (0.9 if c == label else 0.0) for c in range(5)]
        expected += sum(t * (log_sum - v) for t, v in zip(target, row, strict=True)) / 6
    assert softmax(torch.empty(6, 2), logits, labels).item() == pytest.approx(expected, rel=1e-12)


def test_label_beyond_the_classes_names_both_numbers() -> None:
    with pytest.raises(ConfigError, match="label 7 in a network of 5 classes"):
        softmax(torch.empty(1, 2), torch.randn(1, 5), torch.tensor([7]))


@pytest.mark.parametrize("spec", ["triplet+softmax", "softmax+triplet", " triplet + softmax "])
def test_terms_add_up(spec: str) -> None:
    batch = torch.randn(4, 3), torch.randn(4, 2), torch.tensor([0, 0, 1, 1])
    expected = sum(term(*batch) for term in LOSSES.values())
    torch.testing.assert_close(parse_loss(spec)(*batch), expected)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_one_term_is_itself(name: str) -> None:
    batch = torch.randn(4, 3), torch.randn(4, 2), torch.tensor([0, 0, 1, 1])
    assert torch.equal(parse_loss(name)(*batch), LOSSES[name](*batch))


@pytest.mark.parametrize("spec", ["tripel+softmax", "", "softmax+", "softmax,triplet"])
def test_unknown_term_lists_the_known(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"known: softmax, triplet"):
        parse_loss(spec)


def test_term_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="names a term twice"):
        parse_loss("softmax+softmax")
