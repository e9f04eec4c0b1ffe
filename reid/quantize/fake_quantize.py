"""Rounding to integers and back, with gradients: what a quantized graph does, in float arithmetic."""

import torch
from torch import Tensor, nn

__all__ = ["WEIGHT_TOPS", "ActivationQuantizer", "channel_scales", "quantize_weight"]

WEIGHT_TOPS = {8: 127, 7: 64}
"""Largest level of a weight by its bits, as ONNX Runtime counts them."""

ACTIVATION_TOP = 255
_LEAST_SCALE = 1e-9


class ActivationQuantizer(nn.Module):
    """Per-tensor uint8 with a learned scale; the zero point stays, so that zero stays exactly zero.

    Gradients pass where nothing was clipped. Torch's kernel does in one pass what takes ten in Python.

    Source: Esser et al., Learned Step Size Quantization, ICLR 2020, section 2, with their gradient scale.

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
        # The gradients of many values add up in one scale; the damping keeps them of the size of a weight's.
        damping = (values.numel() * ACTIVATION_TOP) ** -0.5
        rounded: Tensor = torch._fake_quantize_learnable_per_tensor_affine(
            values, self.scale.view(1), self.zero_point.view(1), 0, ACTIVATION_TOP, damping
        )
        return rounded


def channel_scales(weight: Tensor, axis: int, top: int = WEIGHT_TOPS[8]) -> Tensor:
    """Step of each channel of a weight: its largest magnitude is `top` steps.

    Args:
        weight: of any shape.
        axis: of the channels.
        top: one of `WEIGHT_TOPS`.

    Returns:
        (channels,) without gradient; 1 for a channel of zeros, or of values too small to divide.
    """
    others = [dim for dim in range(weight.ndim) if dim != axis]
    largest = weight.detach().abs().amax(dim=others) if others else weight.detach().abs()
    scales = largest / top
    return torch.where(scales > 0, scales, torch.ones_like(scales))


def quantize_weight(weight: Tensor, axis: int, top: int = WEIGHT_TOPS[8]) -> Tensor:
    """Round a weight to `top` levels each way, per channel; the gradient passes as if it were not rounded.

    Source: Bengio et al., arXiv:1308.3432, section 4 (straight-through estimator).
    """
    shape = [-1 if dim == axis else 1 for dim in range(weight.ndim)]
    scales = channel_scales(weight, axis, top).view(shape)
    rounded = (weight.detach() / scales).round().clamp(-top, top) * scales
    return weight + (rounded - weight).detach()
