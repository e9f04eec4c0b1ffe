"""Residual networks of torchvision, with the variations that person re-identification made of them."""

from typing import Any

from torch import Tensor, nn

from reid.models.headed import HeadedNetwork
from reid.models.ibn import InstanceBatchNorm
from reid.models.options import NetworkOptions
from reid.torchvision_compat import torchvision

__all__ = ["ResNet"]

_CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


class ResNet(HeadedNetwork):
    """torchvision's residual body with pooling and a head; its state-dict keys are torchvision's.

    The last stage keeps stride 2 unless asked otherwise: at stride 1 ResNet-18 costs 1.7 times the MACs.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016; stride 1 as in Sun et al., PCB,
    ECCV 2018, section 3.1; IBN-a as in Pan et al., ECCV 2018, section 3.2, in the first three stages.

    Args:
        name: of the builder in `torchvision.models`, e.g. "resnet50".
        num_classes: identities to train on, >= 1.
        options: what is varied.
    """

    def __init__(self, name: str, num_classes: int, options: NetworkOptions) -> None:
        super().__init__()
        body = getattr(torchvision.models, name)(weights=None)
        if options.last_stride == 1:
            _unstride(body.layer4[0])
        if options.width != 1:
            _scale(body, options.width)
        if options.ibn:
            for block in (*body.layer1, *body.layer2, *body.layer3):
                block.bn1 = InstanceBatchNorm(block.bn1.num_features)
        for child in _CHILDREN:
            self.add_module(child, getattr(body, child))
        self.blocks = tuple(
            f"layer{stage}.{block}"
            for stage in (1, 2, 3, 4)
            for block in range(len(getattr(body, f"layer{stage}")))
        )
        self._attach_head(_scaled(body.fc.in_features, options.width), num_classes, options)

    def extract(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / 32, W / 32), or / 16 with last stride 1."""
        x = images
        for child in _CHILDREN:
            x = getattr(self, child)(x)
        return x


def _unstride(block: nn.Module) -> None:
    """Let a block keep the size of its map."""
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)


def _scale(body: nn.Module, width: float) -> None:
    """Replace all convolutions and normalisations of a plain residual body by ones with scaled channels."""
    for name, layer in list(body.named_modules()):
        if isinstance(layer, nn.Conv2d):
            inputs = layer.in_channels if name == "conv1" else _scaled(layer.in_channels, width)
            body.set_submodule(name, _like(layer, inputs, _scaled(layer.out_channels, width)))
        elif isinstance(layer, nn.BatchNorm2d):
            body.set_submodule(name, nn.BatchNorm2d(_scaled(layer.num_features, width)))


def _like(conv: nn.Conv2d, inputs: int, outputs: int) -> nn.Conv2d:
    options: dict[str, Any] = {"stride": conv.stride, "padding": conv.padding}
    narrow = nn.Conv2d(inputs, outputs, conv.kernel_size, bias=False, **options)  # type: ignore[arg-type]
    nn.init.kaiming_normal_(narrow.weight, mode="fan_out", nonlinearity="relu")
    return narrow


def _scaled(channels: int, width: float) -> int:
    return max(2, round(channels * width))
