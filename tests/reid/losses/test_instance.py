"""Instance terms against loops over the images and identities."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reid.losses.batches import batch, cross_entropy, term, unit


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_each_image_is_recognised_among_all(seed: int) -> None:
    images = batch(seed)
    rows = unit(images.feature)
    expected = np.mean([cross_entropy(32 * rows @ row, i) for i, row in enumerate(rows)])
    assert term("instance")(images).item() == pytest.approx(expected, rel=1e-9)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_each_identity_is_recognised_by_its_mean(seed: int) -> None:
    images = batch(seed)
    rows, labels = unit(images.feature), images.labels.numpy()
    means = unit(torch.tensor(np.array([rows[labels == label].mean(0) for label in set(labels.tolist())])))
    expected = np.mean([cross_entropy(32 * means @ mean, i) for i, mean in enumerate(means)])
    assert term("instance-id")(images).item() == pytest.approx(expected, rel=1e-9)


def test_labels_do_not_matter_to_images() -> None:
    images = batch()
    same = dataclasses.replace(images, labels=torch.zeros_like(images.labels))
    assert torch.equal(term("instance")(images), term("instance")(same))
