"""Parameters and multiply-accumulates of the network as it is deployed."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reid.models.modes import evaluating
from reid.models.network import ReIDNetwork

__all__ = ["ModelSize", "count", "layer_widths"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """Cost of one network at one input size.

    Attributes:
        params: parameters without the classifier.
        macs: multiply-accumulates of convolutions and linear layers for one image, without the classifier.
    """

    params: int
    macs: int


def count(model: ReIDNetwork, input_size: tuple[int, int]) -> ModelSize:
    """Count the eval graph of `model`, which is left as it was.

    Operations are counted as they run, not by layer class, so that the fixed convolutions of a slimmed
    network count too.

    Args:
        model: in either mode, dense or slimmed.
        input_size: (height, width) in pixels.
    """
    image = torch.zeros(1, 3, *input_size, device=next(model.parameters()).device)
    with evaluating(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    deployed = [
        value.numel() for name, value in model.named_parameters() if not name.startswith("classifier.")
    ]
    # torch counts the multiplication and the addition apart.
    return ModelSize(params=sum(deployed), macs=counter.get_total_flops() // 2)


def layer_widths(model: nn.Module) -> dict[str, int]:
    """Output channels of each convolution and linear layer by name, the classifier left out."""
    return {
        name: module.out_channels if isinstance(module, nn.Conv2d) else module.out_features
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and not name.startswith("classifier")
    }
