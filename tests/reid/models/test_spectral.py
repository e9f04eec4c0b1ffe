"""The spectral feature transform against a plain computation in double precision."""

import numpy as np
import pytest
import torch

from reid.models import build
from reid.models.spectral import SpectralTransform

FEATURES = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("temperature", [0.02, 0.3, 5.0])
def test_rows_of_the_transition_are_a_random_walk(temperature: float) -> None:
    x = FEATURES.double().numpy()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    affinity = np.exp(unit @ unit.T / temperature)
    expected = affinity / affinity.sum(axis=1, keepdims=True) @ x
    found = SpectralTransform(temperature)(FEATURES)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)
    columns = (affinity / affinity.sum(axis=0)) @ x
    if temperature > 0.1:  # colder, each row is its own feature
        assert np.abs(columns - expected).max() > 1e-4


def test_limits_of_the_temperature() -> None:
    torch.testing.assert_close(SpectralTransform(1e-3)(FEATURES), FEATURES)
    mean = FEATURES.mean(0).expand_as(FEATURES)
    torch.testing.assert_close(SpectralTransform(1e6)(FEATURES), mean, rtol=1e-4, atol=1e-5)


def test_autocast_does_not_blur_it() -> None:
    transform = SpectralTransform(0.02)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = transform(FEATURES)
    torch.testing.assert_close(inside, transform(FEATURES), rtol=0, atol=0)


@pytest.mark.parametrize(("head", "rows"), [("bnneck", 1), ("pcb", 3)])
def test_the_same_classifier_judges_both(head: str, rows: int) -> None:
    torch.manual_seed(0)
    parts = {"parts": 2} if head == "pcb" else {}
    made = build("resnet18", 7, width=0.25, head=head, dropout=0.0, spectral=0.3, **parts)
    output = made(torch.randn(6, 3, 64, 32))
    assert output.logits.shape == (6, 2 * rows, 7)
    plain = made.classifier(output.embedding).reshape(6, rows, 7)
    blurred = made.classifier(SpectralTransform(0.3)(output.embedding)).reshape(6, rows, 7)
    torch.testing.assert_close(output.logits, torch.cat([plain, blurred], dim=1))


def test_it_is_for_training_only() -> None:
    torch.manual_seed(0)
    made = build("resnet18", 7, width=0.25, spectral=0.3).eval()
    images = torch.randn(5, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(made(images)[:1], made(images[:1]))
