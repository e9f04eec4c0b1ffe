"""The learning rate against torch's own cosine."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError
from reid.train import Recipe
from reid.train.schedule import learning_rate

PLAIN = {
    "epochs": 10,
    "learning_rate": 2e-3,
    "warmup_epochs": 2,
    "identities_per_batch": 2,
    "images_per_identity": 2,
}


def recipe(**changes: object) -> Recipe:
    return Recipe(**(PLAIN | changes))


def test_warm_up_is_linear_and_reaches_the_peak() -> None:
    rates = [learning_rate(recipe(), step, 5) for step in range(10)]
    assert rates == pytest.approx([2e-3 * (step + 1) / 10 for step in range(10)])


def test_cosine_is_torchs() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=2e-3)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=2e-5)
    for step in range(10, 50):
        optimizer.step()
        oracle.step()
        assert learning_rate(recipe(), step, 5) == pytest.approx(oracle.get_last_lr()[0], rel=1e-9)


@given(
    epochs=st.integers(1, 40), warmup=st.integers(0, 60), steps=st.integers(1, 30), peak=st.floats(1e-6, 1.0)
)
def test_any_schedule_ends_at_a_hundredth_of_the_peak(
    epochs: int, warmup: int, steps: int, peak: float
) -> None:
    some = recipe(epochs=epochs, warmup_epochs=warmup, learning_rate=peak)
    rates = [learning_rate(some, step, steps) for step in range(epochs * steps)]
    assert math.isclose(rates[-1], 0.01 * peak, rel_tol=1e-6)
    assert all(0 < rate <= peak * (1 + 1e-12) for rate in rates)
    top = rates.index(max(rates))
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[:top] == sorted(rates[:top])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": -1}, "epochs must be at least 0, got -1"),
        ({"warmup_epochs": -1}, "warmup_epochs must be at least 0, got -1"),
        ({"identities_per_batch": 1}, "identities_per_batch must be at least 2, got 1"),
        ({"images_per_identity": 1}, "images_per_identity must be at least 2, got 1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be above 0, got nan"),
        ({"precision": "fp16"}, "precision must be auto, fp32 or bf16, got 'fp16'"),
        ({"loss": "hinge"}, "known: softmax, triplet"),
    ],
)
def test_recipe_out_of_range_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**change)
