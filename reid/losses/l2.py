"""An explicit penalty on large weights."""

import torch
from torch import Tensor, nn

from reid.losses.batch import LossContext, LossInput

__all__ = ["L2"]

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class L2(nn.Module):
    """Half the squared norm of all convolution and linear weights of the network, its classifier included.

    Biases, normalisation layers and parameters of other loss terms do not count. It comes on top of the
    optimizer's weight decay and, unlike that, shows in the loss.

    Source: Krogh and Hertz, A Simple Weight Decay Can Improve Generalization, NIPS 1991; over kernels
    only, as in the loss of the Atimotors assignment, whose factor is 0.01.
    """

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        # In a tuple, the network is no submodule: its weights must not be saved a second time as the loss's.
        self._network = (context.model,)

    def forward(self, batch: LossInput) -> Tensor:
        """Sum over the network as it is now; the batch does not matter."""
        layers = (m for m in self._network[0].modules() if isinstance(m, _WEIGHTED))
        return torch.stack([layer.weight.square().sum() for layer in layers]).sum() / 2
