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


@pytest.mark.parametrize("milestones", [(3,), (3, 7), (1, 2)])
def test_steps_are_torchs(milestones: tuple[int, ...]) -> None:
    some = recipe(schedule="step", milestones=milestones, warmup_epochs=0)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-3)
    oracle = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5 * epoch for epoch in milestones], gamma=0.1)
    for step in range(50):
        assert learning_rate(some, step, 5) == pytest.approx(oracle.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        oracle.step()


def test_a_milestone_within_the_warm_up_counts() -> None:
    some = recipe(schedule="step", milestones=(2,), warmup_epochs=5, learning_rate=1.0)
    rates = [learning_rate(some, 5 * epoch + 4, 5) for epoch in range(6)]
    assert rates == pytest.approx([0.2, 0.4, 0.06, 0.08, 0.1, 0.1])


def test_constant_rate_stays_at_the_peak_after_the_warm_up() -> None:
    rates = [learning_rate(recipe(schedule="constant"), step, 5) for step in range(50)]
    assert rates[10:] == [2e-3] * 40
    assert rates[:10] == pytest.approx([2e-4 * (step + 1) for step in range(10)])


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
        ({"precision": "fp8"}, "precision must be auto, fp32, bf16 or fp16, got 'fp8'"),
        ({"loss": "hinge"}, "unknown term of loss 'hinge'"),
        ({"optimizer": "lamb"}, "optimizer must be adam, adamw or sgd, got 'lamb'"),
        ({"schedule": "step"}, "schedule step needs milestones"),
        ({"milestones": (3,)}, "schedule step needs milestones, the others take none"),
        (
            {"schedule": "step", "milestones": (3, 3)},
            r"milestones must be rising epochs of at least 1, got \[3, 3\]",
        ),
        ({"schedule": "step", "milestones": (0, 3)}, "milestones must be rising epochs"),
        ({"patience": 2}, "patience 2 needs validate_every"),
        ({"keep": "best"}, "keep best needs validate_every"),
        ({"ema_decay": 1.0}, "ema_decay must be 0 <= value < 1, got 1.0"),
        ({"ema_start": math.nan}, "ema_start must be 0 <= value < 1, got nan"),
        ({"flip": 1.5}, "flip must be between 0 and 1, got 1.5"),
        ({"hue": 0.6}, "hue must be between 0 and 0.5, got 0.6"),
        ({"pad_crop": -1.0}, "pad_crop must be between 0 and 64, got -1.0"),
        ({"weight_decay": math.inf}, "weight_decay must be a number of at least 0, got inf"),
        ({"clip_norm": -1.0}, "clip_norm must be a number of at least 0, got -1.0"),
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
    ],
)
def test_recipe_out_of_range_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**change)
