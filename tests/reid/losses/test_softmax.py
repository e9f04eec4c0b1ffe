"""Identity terms against formulas written out, image by image."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.errors import ConfigError
from tests.reid.losses.batches import CLASSES, batch, cross_entropy, term


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), smoothing=st.sampled_from([0.0, 0.1, 0.5]))
def test_softmax_smooths_over_all_identities(seed: int, smoothing: float) -> None:
    images = batch(seed)
    expected = 0.0
    for row, label in zip(images.logits.tolist(), images.labels.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(v) for v in row))
        target = [smoothing / CLASSES + (1 - smoothing if c == label else 0.0) for c in range(CLASSES)]
        expected += sum(t * (log_sum - v) for t, v in zip(target, row, strict=True)) / len(row)
    found = term("softmax", label_smoothing=smoothing)(images).item()
    assert found == pytest.approx(expected * CLASSES / len(images.labels), rel=1e-9)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_focal_weighs_by_the_squared_doubt(seed: int) -> None:
    images = batch(seed)
    terms = []
    for row, label in zip(images.logits.numpy(), images.labels.tolist(), strict=True):
        entropy = cross_entropy(row, label)
        terms.append((1 - math.exp(-entropy)) ** 2 * entropy)
    assert term("focal")(images).item() == pytest.approx(sum(terms) / len(terms), rel=1e-9)


def test_focal_forgets_what_is_known() -> None:
    logits = 60 * torch.eye(CLASSES).double()
    images = dataclasses.replace(batch(size=CLASSES), logits=logits, labels=torch.arange(CLASSES))
    assert 0 <= term("focal")(images).item() < 1e-50


@pytest.mark.parametrize("name", ["softmax", "focal"])
@pytest.mark.parametrize("logits", [torch.randn(1, 5), torch.randn(1, 3, 5)])
def test_label_beyond_the_classes_names_both_numbers(name: str, logits: Tensor) -> None:
    images = dataclasses.replace(batch(size=1), logits=logits, labels=torch.tensor([7]))
    with pytest.raises(ConfigError, match="label 7 in a network of 5 classes"):
        term(name)(images)
