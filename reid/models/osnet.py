"""The omni-scale networks."""

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from reid.models.headed import HeadedNetwork
from reid.models.options import NetworkOptions

__all__ = ["ChannelGate", "ConvNorm", "LightConv", "OSNet", "OmniScaleBlock"]

_STEM_WIDTH, _STAGE_WIDTHS, _EMBEDDING = 64, (256, 384, 512), 512
_BOTTLENECK_REDUCTION, _GATE_REDUCTION = 4, 16


class ConvNorm(nn.Module):
    """Convolution without bias and batch normalisation, with or without a ReLU.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel in pixels, odd; the padding keeps the size.
        stride: in pixels.
        rectify: end with a ReLU.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, rectify: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU() if rectify else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return cast(Tensor, self.relu(self.bn(self.conv(x))))


class LightConv(nn.Module):
    """The paper's Lite 3x3: pointwise without activation, depthwise 3x3, batch normalisation, ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        return cast(Tensor, self.relu(self.bn(self.conv2(self.conv1(x)))))


class ChannelGate(nn.Module):
    """The aggregation gate: scales each channel by a sigmoid of the pooled channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(1, width // _GATE_REDUCTION)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(width, hidden, 1)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(hidden, width, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        return x * cast(Tensor, self.sigmoid(self.fc2(self.relu(self.fc1(self.pool(x))))))


class OmniScaleBlock(nn.Module):
    """Residual bottleneck of four streams, one to four Lite 3x3 deep, fused by one shared gate.

    Source: Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019, section 3.2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        width = outputs // _BOTTLENECK_REDUCTION
        self.conv1 = ConvNorm(inputs, width)
        self.conv2a = LightConv(width)
        self.conv2b = nn.Sequential(*(LightConv(width) for _ in range(2)))
        self.conv2c = nn.Sequential(*(LightConv(width) for _ in range(3)))
        self.conv2d = nn.Sequential(*(LightConv(width) for _ in range(4)))
        self.gate = ChannelGate(width)
        self.conv3 = ConvNorm(width, outputs, rectify=False)
        self.downsample = ConvNorm(inputs, outputs, rectify=False) if inputs != outputs else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        squeezed = self.conv1(x)
        fused = (
            self.gate(self.conv2a(squeezed))
            + self.gate(self.conv2b(squeezed))
            + self.gate(self.conv2c(squeezed))
            + self.gate(self.conv2d(squeezed))
        )
        return cast(Tensor, self.relu(self.conv3(fused) + self.downsample(x)))


class OSNet(HeadedNetwork):
    """OSNet at any width; its state-dict keys are Torchreid's, whose weights load exactly.

    With its own head the metric loss sees the linear layer over the pooled map; classifier and retrieval see it
    behind its batch normalisation and ReLU, as with a BNNeck. With the metric loss behind the ReLU instead,
    networks trained from random weights ended at the zero embedding.

    Source: Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019, table 1 and section
    4.4 (width multiplier).

    Args:
        multiplier: share of the channels of OSNet x1.0, above 0; the embedding keeps its 512.
        num_classes: identities to train on, >= 1.
        options: what is varied.
    """

    blocks = tuple(f"conv{stage}.{block}" for stage in (2, 3, 4) for block in (0, 1))

    def __init__(self, multiplier: float, num_classes: int, options: NetworkOptions) -> None:
        super().__init__()
        stem, *widths = (round(width * multiplier) for width in (_STEM_WIDTH, *_STAGE_WIDTHS))
        self.conv1 = ConvNorm(3, stem, 7, 2)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages = [_stage(inputs, outputs) for inputs, outputs in pairwise((stem, *widths))]
        # A stage's transition halves the map; after the last stage it is not wanted.
        self.conv2 = nn.Sequential(*stages[0], _transition(widths[0]))
        self.conv3 = nn.Sequential(*stages[1], _transition(widths[1]))
        self.conv4 = nn.Sequential(*stages[2])
        self.conv5 = ConvNorm(widths[2], widths[2])
        if options.head == "default":
            self._attach_own_head(widths[2], num_classes, options)
            _initialise(self)
        else:
            _initialise(self)
            self._attach_head(widths[2], num_classes, options)

    @property
    def embedding_dim(self) -> int:
        """Width of the embedding as the layers are now."""
        return cast(nn.Linear, self.fc[0]).out_features if hasattr(self, "fc") else super().embedding_dim

    def extract(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / 16, W / 16)."""
        x = self.conv2(self.maxpool(self.conv1(images)))
        return cast(Tensor, self.conv5(self.conv4(self.conv3(x))))

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Feature for metric losses and embedding, each (B, embedding_dim)."""
        if not hasattr(self, "fc"):
            return super().embed(images)
        linear, norm, relu = self.fc
        (pooled,) = self.pool(self.extract(images))
        feature = linear(pooled)
        return feature, relu(norm(feature))

    def _attach_own_head(self, width: int, num_classes: int, options: NetworkOptions) -> None:
        self._attach_pooling(options)
        self.fc = nn.Sequential(nn.Linear(width, _EMBEDDING), nn.BatchNorm1d(_EMBEDDING), nn.ReLU())
        self.classifier = nn.Linear(_EMBEDDING, num_classes)
        self._attach_training(options, dropout=0.0)


def _stage(inputs: int, outputs: int) -> tuple[OmniScaleBlock, OmniScaleBlock]:
    return OmniScaleBlock(inputs, outputs), OmniScaleBlock(outputs, outputs)


def _transition(width: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(width, width), nn.AvgPool2d(2, 2))


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
