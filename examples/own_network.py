"""A network of your own: a small residual body, whose blocks are narrowed, slimmed and quantized like those of ours.

PYTHONPATH=examples reid-pareto trial --data DATA --set dataset=folder --out runs/own --set backbone=own_network:body
"""

from torch import Tensor, nn

__all__ = ["body"]


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) to the same."""
        inner: Tensor = self.relu(self.norm1(self.conv1(x)))
        shortcut: Tensor = self.relu(x + self.norm2(self.conv2(inner)))
        return shortcut


def body() -> nn.Module:
    """From images (B, 3, H, W) to maps (B, 128, H / 16, W / 16); pooling, embedding and classifier are added."""
    return nn.Sequential(
        _halve(3, 32, 7), _halve(32, 64), Block(64), _halve(64, 128), Block(128), _halve(128, 128)
    )


def _halve(inputs: int, outputs: int, size: int = 3) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, size, stride=2, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())
