"""Margin terms against loops over the angles to the identities' vectors."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.reid.losses.batches import batch, cross_entropy, term, unit


def arcface(angle: float) -> float:
    margin = math.radians(28.6)
    if angle <= math.pi - margin:
        return math.cos(angle + margin)
    return math.cos(angle) - margin * math.sin(margin)


def sphereface(angle: float) -> float:
    piece = min(int(angle / (math.pi / 4)), 3)
    return (-1) ** piece * math.cos(4 * angle) - 2 * piece


MARGINS = {
    "am-softmax": (lambda angle: math.cos(angle) - 0.35, lambda length: 30),
    "arcface": (arcface, lambda length: 64),
    "cosface": (lambda angle: math.cos(angle) - 0.35, lambda length: 64),
    "sphereface": (sphereface, lambda length: length),
}


def reference(name: str, feature: Tensor, labels: Tensor, proxies: Tensor) -> float:
    margin, scale = MARGINS[name]
    terms = []
    for row, label in zip(feature.numpy(), labels.tolist(), strict=True):
        cosines = unit(proxies.T) @ row / np.linalg.norm(row)
        cosines[label] = margin(math.acos(np.clip(cosines[label], -1, 1)))
        terms.append(cross_entropy(scale(np.linalg.norm(row)) * cosines, label))
    return np.mean(terms)


@pytest.mark.parametrize("name", sorted(MARGINS))
@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_cross_entropy_with_the_margin_of_the_paper(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    images, module = batch(seed), term(name)
    (proxies,) = module.parameters()
    expected = reference(name, images.feature, images.labels, proxies)
    assert module(images).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", sorted(MARGINS))
@pytest.mark.parametrize("side", [1, -1])
def test_feature_on_or_opposite_its_vector_has_a_finite_gradient(name: str, side: int) -> None:
    module = term(name)
    (proxies,) = module.parameters()
    images = batch()
    feature = (side * proxies.detach().T[images.labels]).requires_grad_()
    module(dataclasses.replace(images, feature=feature)).backward()
    assert torch.isfinite(feature.grad).all()
    assert torch.isfinite(proxies.grad).all()
    # Bounding the angle of ArcFace at 0.026° costs a hundredth of what little is lost there.
    expected = reference(name, feature.detach(), images.labels, proxies)
    assert module(dataclasses.replace(images, feature=feature)).item() == pytest.approx(
        expected, rel=2e-2, abs=1e-9
    )


@pytest.mark.parametrize(("name", "matters"), [*((n, n == "sphereface") for n in sorted(MARGINS))])
def test_only_sphereface_sees_the_length_of_the_feature(name: str, matters: bool) -> None:
    images, module = batch(), term(name)
    longer = dataclasses.replace(images, feature=3 * images.feature)
    assert (module(longer).item() != pytest.approx(module(images).item(), rel=1e-9)) == matters
