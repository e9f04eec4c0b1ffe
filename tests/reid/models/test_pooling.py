"""Poolings against their limits and against torch's adaptive pooling."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.models.pooling import POOLINGS, GeneralizedMean, Stripes, Whole


def maps(height: int = 8, width: int = 4) -> Tensor:
    return torch.rand(3, 5, height, width, generator=torch.Generator().manual_seed(0)) * 4


def test_power_one_is_the_mean() -> None:
    torch.testing.assert_close(GeneralizedMean(1.0)(maps()), maps().mean((2, 3), keepdim=True))


def test_large_powers_approach_the_maximum_from_below() -> None:
    largest = maps().amax((2, 3), keepdim=True)
    gaps = [(largest - GeneralizedMean(power)(maps())).max().item() for power in (2.0, 8.0, 32.0)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < 0.12 * largest.max()


def test_generalised_mean_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert GeneralizedMean(3.0)(x).item() == pytest.approx(((1 + 8) / 2) ** (1 / 3))


def test_power_is_trained_and_an_empty_map_does_no_harm() -> None:
    pooling = GeneralizedMean()
    assert pooling.p.item() == 3
    pooling(torch.cat([maps(), torch.zeros(3, 5, 8, 4)])).sum().backward()
    assert torch.isfinite(pooling.p.grad).all()
    assert pooling.p.grad != 0


@settings(max_examples=40)
@given(height=st.integers(1, 24), parts=st.integers(2, 16))
def test_stripes_are_those_of_adaptive_pooling(height: int, parts: int) -> None:
    x = maps(height)
    for name, reference in (("avg", F.adaptive_avg_pool2d), ("max", F.adaptive_max_pool2d)):
        *stripes, whole = Stripes(POOLINGS[name](), parts)(x)
        torch.testing.assert_close(torch.stack(stripes, dim=2), reference(x, (parts, 1)).flatten(2))
        torch.testing.assert_close(whole, Whole(POOLINGS[name]())(x)[0])
