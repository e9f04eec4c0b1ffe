"""Rounding to integers and back, with gradients: what a quantized graph does, in float arithmetic."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["ActivationQuantizer", "channel_scales", "quantize_weight"]

WEIGHT_TOP = 127
ACTIVATION_TOP = 255
_LEAST_SCALE = 1e-9


class _FakeQuantize(torch.autograd.Function):
    """Round to the grid and clip; gradients pass where nothing was clipped, and reach the scale.

    Source: Esser et al., Learned Step Size Quantization, ICLR 2020, section 2, with their gradient scale.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        steps = values / scale
        rounded = steps.round()
        level = rounded.add(zero_point).clamp_(0, ACTIVATION_TOP).sub_(zero_point)
        inside = level == rounded
        # What the scale's gradient is per value: the rounding error inside, the clipped level outside.
        ctx.save_for_backward(inside, torch.where(inside, level - steps, level))
        return level.mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = gradients
        inside, slope = ctx.saved_tensors
        damping = (gradient.numel() * ACTIVATION_TOP) ** -0.5
        return gradient * inside, (gradient * slope).sum() * damping, None


class ActivationQuantizer(nn.Module):
    """Per-tensor uint8 with a learned scale; the zero point stays, so that zero stays exactly zero.

    Args:
        scale: float value of one step, > 0.
        zero_point: level of the value zero, 0 to 255.
    """

    zero_point: Tensor

    def __init__(self, scale: float, zero_point: int) -> None:
        super().__init__()
        # As a logarithm the scale stays positive, and a step of the optimizer changes each by its share.
        self.log_scale = nn.Parameter(torch.tensor(scale, dtype=torch.float32).clamp_min(_LEAST_SCALE).log())
        self.register_buffer("zero_point", torch.tensor(float(zero_point)))

    @property
    def scale(self) -> Tensor:
        """Float value of one step."""
        return self.log_scale.exp()

    def clip(self, values: Tensor) -> Tensor:
        """`values` cut at the ends of the grid, not rounded."""
        scale = self.scale.detach()
        return torch.clamp(values, -self.zero_point * scale, (ACTIVATION_TOP - self.zero_point) * scale)

    def forward(self, values: Tensor) -> Tensor:
        """`values` as the integers that stand for them would give them back."""
        rounded: Tensor = _FakeQuantize.apply(values, self.scale, self.zero_point)  # type: ignore[no-untyped-call]
        return rounded


def channel_scales(weight: Tensor, axis: int) -> Tensor:
    """Step of each channel of a weight: its largest magnitude is 127 steps.

    Args:
        weight: of any shape.
        axis: of the channels.

    Returns:
        (channels,) without gradient; 1 for a channel of zeros.
    """
    others = [dim for dim in range(weight.ndim) if dim != axis]
    largest = weight.detach().abs().amax(dim=others) if others else weight.detach().abs()
    return torch.where(largest > 0, largest / WEIGHT_TOP, torch.ones_like(largest))


def quantize_weight(weight: Tensor, axis: int) -> Tensor:
    """Round a weight to int8, symmetric and per channel; the gradient passes as if it were not rounded.

    Source: Bengio et al., arXiv:1308.3432, section 4 (straight-through estimator).
    """
    shape = [-1 if dim == axis else 1 for dim in range(weight.ndim)]
    scales = channel_scales(weight, axis).view(shape)
    rounded = (weight.detach() / scales).round().clamp(-WEIGHT_TOP, WEIGHT_TOP) * scales
    return weight + (rounded - weight).detach()
