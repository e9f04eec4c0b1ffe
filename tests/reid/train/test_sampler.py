"""Batches of P identities with K images each."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from reid.errors import ConfigError
from reid.train import Recipe
from reid.train.sampler import (
    class_balanced_batches,
    epoch_batches,
    pk_batches,
    random_batches,
    steps_per_epoch,
)

counts = st.lists(st.integers(1, 9), min_size=2, max_size=12)


def labels_of(sizes: list[int]) -> NDArray[np.int64]:
    """Identities 10, 20, 30, ... with the given numbers of images, shuffled."""
    labels = np.repeat(10 * np.arange(1, len(sizes) + 1), sizes).astype(np.int64)
    return np.random.default_rng(0).permutation(labels)


@given(sizes=counts, data=st.data())
def test_batches_hold_p_identities_with_k_images_each(sizes: list[int], data: st.DataObject) -> None:
    labels = labels_of(sizes)
    p, k = data.draw(st.integers(2, len(sizes))), data.draw(st.integers(2, 5))
    batches = pk_batches(labels, p, k, seed=3, epoch=0)
    assert len(batches) == steps_per_epoch(labels, p, k)
    assert len(batches) == max(math.ceil(len(labels) / (p * k)), math.ceil(len(sizes) / p))
    for batch in batches:
        assert len(batch) == p * k
        groups = labels[batch].reshape(p, k)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == p
        for group in batch.reshape(p, k):
            available = int((labels == labels[group[0]]).sum())
            # Distinct images where there are k of them, else every image and then repetitions.
            assert len(set(group)) == min(k, available)


@given(sizes=counts, data=st.data())
def test_identities_and_images_are_drawn_evenly(sizes: list[int], data: st.DataObject) -> None:
    labels = labels_of(sizes)
    p, k = data.draw(st.integers(2, len(sizes))), data.draw(st.integers(2, 5))
    drawn = np.concatenate(pk_batches(labels, p, k, seed=3, epoch=0))
    identities = Counter(labels[drawn].tolist())
    assert set(identities) == set(labels.tolist())
    assert max(identities.values()) - min(identities.values()) <= k
    for label, total in identities.items():
        images = Counter(drawn[labels[drawn] == label].tolist())
        members = int((labels == label).sum())
        assert max(images.values()) - (min(images.values()) if len(images) == members else 0) <= 1
        assert len(images) == min(members, total)


def test_an_epoch_of_equal_identities_covers_every_image_once() -> None:
    labels = np.repeat(np.arange(12), 8).astype(np.int64)
    drawn = np.concatenate(pk_batches(labels, 4, 4, seed=0, epoch=0))
    assert sorted(drawn.tolist()) == list(range(96))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    labels = np.repeat(np.arange(12), 8).astype(np.int64)

    def draw(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in pk_batches(labels, 4, 4, seed=seed, epoch=epoch)]

    assert draw(0, 0) == draw(0, 0)
    assert draw(0, 0) != draw(0, 1)
    assert draw(0, 1) != draw(1, 0)


def test_fewer_identities_than_p_names_both_numbers() -> None:
    with pytest.raises(ConfigError, match="identities_per_batch is 16, but only 3 identities"):
        pk_batches(np.array([0, 0, 1, 1, 2, 2]), 16, 4, seed=0, epoch=0)


@given(sizes=counts, data=st.data())
def test_class_balanced_draws_identities_and_their_images_equally_often(
    sizes: list[int], data: st.DataObject
) -> None:
    labels = labels_of(sizes)
    size = data.draw(st.integers(2, len(labels)))
    batches = class_balanced_batches(labels, size, seed=3, epoch=0)
    assert [len(batch) for batch in batches] == [size] * (len(labels) // size)
    drawn = np.concatenate(batches)
    identities = Counter(labels[drawn].tolist())
    fewest = min(identities.values()) if len(identities) == len(sizes) else 0
    # Identities that a pass repeats within a batch wait for the next, so counts differ by one, rarely by two.
    assert max(identities.values()) - fewest <= 2
    for label, total in identities.items():
        images = Counter(drawn[labels[drawn] == label].tolist())
        members = int((labels == label).sum())
        assert len(images) == min(members, total)
        assert max(images.values()) == math.ceil(total / members)


@given(count=st.integers(2, 60), data=st.data())
def test_random_batches_are_a_permutation_without_the_rest(count: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(2, count))
    batches = random_batches(np.zeros(count, np.int64), size, seed=1, epoch=2)
    assert [len(batch) for batch in batches] == [size] * (count // size)
    drawn = np.concatenate(batches).tolist()
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(range(count))


@pytest.mark.parametrize("sampler", ["pk", "class-balanced", "random"])
def test_every_sampler_repeats_itself_and_changes_with_the_epoch(sampler: str) -> None:
    labels = np.repeat(np.arange(12), 8).astype(np.int64)
    recipe = Recipe(sampler=sampler, identities_per_batch=4, batch_size=16)  # type: ignore[arg-type]

    def draw(epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in epoch_batches(labels, recipe, epoch)]

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)
    assert {len(batch) for batch in draw(0)} == {16}


@pytest.mark.parametrize("sampler", ["class-balanced", "random"])
def test_fewer_images_than_a_batch_names_both_numbers(sampler: str) -> None:
    recipe = Recipe(sampler=sampler, batch_size=64)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="batch_size is 64, but only 6 images"):
        epoch_batches(np.array([0, 0, 1, 1, 2, 2]), recipe, 0)
