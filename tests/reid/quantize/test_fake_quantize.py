"""Rounding in torch against plain NumPy, on whatever hypothesis finds."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from reid.quantize.fake_quantize import ActivationQuantizer, channel_scales, quantize_weight

Floats = NDArray[np.float32]
VALUES = hnp.arrays(np.float32, hnp.array_shapes(max_side=5), elements=st.floats(-50, 50, width=32))
WEIGHTS = hnp.arrays(np.float32, (4, 3, 2, 2), elements=st.floats(-2, 2, width=32))


def reference(values: Floats, scale: np.float32, zero_point: int) -> Floats:
    """QuantizeLinear and DequantizeLinear as the ONNX standard defines them."""
    levels = np.clip(np.rint(values / scale) + zero_point, 0, 255)
    return ((levels - zero_point) * scale).astype(np.float32)


@given(VALUES, st.floats(2**-6, 1.0, width=32), st.integers(0, 255))
def test_activations_round_as_the_standard_says(values: Floats, scale: float, zero_point: int) -> None:
    quantizer = ActivationQuantizer(scale, zero_point)
    found = quantizer(torch.from_numpy(values)).detach().numpy()
    step = np.float32(quantizer.scale.detach().item())
    wanted = reference(values, step, zero_point)
    # Halfway between two levels, and only there, either is right.
    halfway = np.abs(np.abs(values / step % 1) - 0.5) < 1e-4
    assert (np.abs(found - wanted)[~halfway] <= np.abs(wanted)[~halfway] * 1e-5 + step * 1e-3).all()
    assert (np.abs(found - wanted) <= step * 1.001).all()


@given(VALUES, st.integers(0, 255))
def test_zero_stays_zero_and_rounding_twice_changes_nothing(values: Floats, zero_point: int) -> None:
    quantizer = ActivationQuantizer(0.1, zero_point)
    assert quantizer(torch.zeros(3)).abs().max() == 0
    once = quantizer(torch.from_numpy(values)).detach()
    torch.testing.assert_close(quantizer(once), once, rtol=0, atol=0)


@given(VALUES, st.integers(0, 255))
def test_clipping_without_rounding_is_within_half_a_step_of_rounding(values: Floats, zero_point: int) -> None:
    quantizer = ActivationQuantizer(0.1, zero_point)
    tensor = torch.from_numpy(values)
    assert (quantizer(tensor) - quantizer.clip(tensor)).abs().max() <= 0.05 * 1.001


def test_gradients_stop_where_values_are_clipped() -> None:
    values = torch.tensor([-1.0, 0.52, 30.0], requires_grad=True)
    quantizer = ActivationQuantizer(0.1, 0)
    quantizer(values).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0, 1, 0]


def test_the_scale_learns_the_step_that_fits() -> None:
    values = torch.rand(4096, generator=torch.Generator().manual_seed(0)) * 10
    quantizer = ActivationQuantizer(10 / 255 / 4, 0)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.05)
    before = (quantizer(values) - values).detach().square().mean()
    for _ in range(100):
        optimizer.zero_grad()
        (quantizer(values) - values).square().mean().backward()
        optimizer.step()
    assert (quantizer(values) - values).detach().square().mean() < before / 10
    assert 10 / 255 * 0.8 < quantizer.scale.detach().item() < 10 / 255 * 1.3


@given(WEIGHTS, st.integers(0, 3))
def test_weights_are_on_their_channels_grid(weight: Floats, axis: int) -> None:
    tensor = torch.from_numpy(weight)
    scales = channel_scales(tensor, axis)
    assert scales.shape == (weight.shape[axis],)
    assert (scales > 0).all()
    levels = (quantize_weight(tensor, axis) / scales.view([-1 if d == axis else 1 for d in range(4)])).numpy()
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)
    assert np.abs(levels).max() <= 127.001
    difference = (quantize_weight(tensor, axis) - tensor).abs().amax(dim=[d for d in range(4) if d != axis])
    assert (difference <= scales * 0.5001 + 1e-7).all()


def test_the_gradient_of_a_weight_is_that_without_rounding() -> None:
    weight = torch.randn(3, 2, 1, 1, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (quantize_weight(weight, 0) * 3).sum().backward()
    assert weight.grad is not None
    assert (weight.grad == 3).all()
