"""Instance and batch normalisation side by side."""

import torch
from torch import Tensor, nn

__all__ = ["InstanceBatchNorm"]


class InstanceBatchNorm(nn.Module):
    """IBN-a: the first half of the channels is normalised per image, the second half per batch.

    The names of the two layers are those of the authors' weight files.

    Source: Pan et al., Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net, ECCV 2018,
    section 3.2.

    Args:
        width: channels, >= 2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.IN = nn.InstanceNorm2d(width // 2, affine=True)
        self.BN = nn.BatchNorm2d(width - width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        # Two slices, as exported operators with several outputs are read by fewer runtimes.
        per_image, per_batch = x[:, : self.IN.num_features], x[:, self.IN.num_features :]
        return torch.cat([self.IN(per_image), self.BN(per_batch)], dim=1)
