"""The penalty on weights against sums over the layers by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from reid.losses import build_loss
from reid.losses.l2 import L2
from tests.reid.losses.batches import batch, context, network


def test_half_the_squared_norm_of_convolution_and_linear_weights() -> None:
    model = network()
    kernels = [model[0].weight.detach().numpy(), model[3].weight.detach().numpy()]
    expected = 0.5 * sum(float((kernel.astype(np.float64) ** 2).sum()) for kernel in kernels)
    assert L2(context(model=model))(batch()).item() == pytest.approx(expected, rel=1e-6)


def test_gradient_is_the_weight_and_biases_have_none() -> None:
    model = network()
    L2(context(model=model))(batch()).backward()
    torch.testing.assert_close(model[0].weight.grad, model[0].weight.detach())
    torch.testing.assert_close(model[3].weight.grad, model[3].weight.detach())
    assert model[1].weight.grad is None
    assert model[0].bias.grad is None


def test_layers_exchanged_later_count() -> None:
    model = network()
    term = L2(context(model=model))
    model[3] = nn.Linear(4, 2)
    nn.init.ones_(model[3].weight)
    nn.init.zeros_(model[0].weight)
    assert term(batch()).item() == 4


def test_network_and_proxies_are_no_part_of_it() -> None:
    loss = build_loss("l2+arcface", context())
    before = loss(batch())["l2"].item()
    with torch.no_grad():
        loss.terms["arcface"].loss.W.mul_(100)
    assert loss(batch())["l2"].item() == before
    assert not list(loss.terms["l2"].parameters())
