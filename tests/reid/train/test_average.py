"""The moving average against its formula, and its statistics against those of the images."""

import pytest
import torch
from torch import nn

from reid.train import Recipe
from reid.train.average import Average, first_averaged_epoch


def test_weights_follow_the_formula_from_the_first_update_on() -> None:
    model, decay = nn.Linear(3, 2), 0.8
    average, expected = Average(model, decay), None
    for step in range(5):
        with torch.no_grad():
            model.weight.copy_(torch.full((2, 3), float(step * step)))
        average.update(model)
        new = model.weight.detach().clone()
        expected = new if expected is None else decay * expected + (1 - decay) * new
    assert average.steps == 5
    torch.testing.assert_close(average.settle([], None).weight, expected)


def test_statistics_are_those_of_the_images_under_the_averaged_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model(torch.full((2, 3, 4, 4), 100.0))  # statistics of something else
    average = Average(model, 0.5)
    average.update(model)
    batches = [torch.randn(8, 3, 4, 4) + 1 for _ in range(3)]
    network = average.settle(batches, None)
    seen = [network[0](batch).detach() for batch in batches]
    mean = torch.stack([values.mean((0, 2, 3)) for values in seen]).mean(0)
    variance = torch.stack([values.var((0, 2, 3)) for values in seen]).mean(0)
    torch.testing.assert_close(network[1].running_mean, mean)
    torch.testing.assert_close(network[1].running_var, variance)
    assert float(model[1].running_mean.abs().max()) > 1


@pytest.mark.parametrize(
    ("decay", "start", "epochs", "first"),
    [(0.0, 0.8, 60, 60), (0.9, 0.8, 60, 48), (0.9, 0.0, 7, 0), (0.9, 0.8, 1, 0)],
)
def test_averaging_begins_at_its_share_of_the_epochs(
    decay: float, start: float, epochs: int, first: int
) -> None:
    recipe = Recipe(ema_decay=decay, ema_start=start, epochs=epochs)
    assert first_averaged_epoch(recipe) == first
