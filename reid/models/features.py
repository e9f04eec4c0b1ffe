"""The networks of torchvision whose body is one sequence called features."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.models.headed import HeadedNetwork
from reid.models.options import NetworkOptions
from reid.torchvision_compat import torchvision

__all__ = ["ConvNeXt", "DenseNet", "FeatureNetwork", "Swin"]

_BLOCKS = {
    "convnext_tiny": "CNBlock",
    "densenet121": "_DenseLayer",
    "efficientnet_b0": "MBConv",
    "mobilenet_v2": "InvertedResidual",
    "mobilenet_v3_large": "InvertedResidual",
    "mobilenet_v3_small": "InvertedResidual",
    "swin_t": "SwinTransformerBlock",
}


class FeatureNetwork(HeadedNetwork):
    """torchvision's body with pooling and a head; its state-dict keys are torchvision's.

    What torchvision puts between pooling and its classes is left out: hidden linear layers belong to ImageNet.

    Source: Sandler et al., MobileNetV2, CVPR 2018; Howard et al., Searching for MobileNetV3, ICCV 2019; Tan and
    Le, EfficientNet, ICML 2019.

    Args:
        name: of the builder in `torchvision.models`.
        num_classes: identities to train on, >= 1.
        options: what is varied.
    """

    features: nn.Sequential

    def __init__(self, name: str, num_classes: int, options: NetworkOptions) -> None:
        super().__init__()
        scaling = {"width_mult": options.width} if options.width != 1 else {}
        body = getattr(torchvision.models, name)(weights=None, **scaling)
        self._adopt(body, options)
        self.blocks = tuple(
            path for path, module in self.named_modules() if type(module).__name__ == _BLOCKS[name]
        )
        self._attach_head(_last_width(body), num_classes, options)

    def extract(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / 32, W / 32)."""
        x: Tensor = self.features(images)
        return x

    def _adopt(self, body: Any, options: NetworkOptions) -> None:
        """Register the layers of torchvision's network that are used."""
        self.features = body.features


class DenseNet(FeatureNetwork):
    """DenseNet-121; with last stride 1 the last transition keeps the size of its map, but for one row and column.

    Source: Huang et al., Densely Connected Convolutional Networks, CVPR 2017; last stride as in layumi,
    Person_reID_baseline_pytorch.
    """

    # Weight files older than torch 0.4 have dots where module names may have none.
    renamed: ClassVar[tuple[tuple[str, str], ...]] = ((r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2"),)

    def extract(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / 32, W / 32); rectified, as torchvision does before pooling."""
        return F.relu(super().extract(images))

    def _adopt(self, body: Any, options: NetworkOptions) -> None:
        super()._adopt(body, options)
        if options.last_stride == 1:
            self.features.get_submodule("transition3").pool = nn.AvgPool2d(2, stride=1)


class ConvNeXt(FeatureNetwork):
    """ConvNeXt-Tiny; pooled vectors are layer-normalised before the head.

    Source: Liu et al., A ConvNet for the 2020s, CVPR 2022.
    """

    # torchvision's normalisation of the pooled vector is the first layer of its classifier.
    renamed: ClassVar[tuple[tuple[str, str], ...]] = ((r"^classifier\.0\.", "norm."),)

    norm: nn.LayerNorm

    def extract(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / 32, W / 32)."""
        # Torchvision leaves it channels last; what pooling makes of that is exported as operators that few read.
        return super().extract(images).contiguous(memory_format=torch.contiguous_format)

    def describe(self, pooled: Tensor) -> Tensor:
        """Layer-normalised (B, C)."""
        x: Tensor = self.norm(pooled)
        return x

    def _adopt(self, body: Any, options: NetworkOptions) -> None:
        super()._adopt(body, options)
        theirs = body.classifier[0]
        self.norm = nn.LayerNorm(theirs.normalized_shape, eps=theirs.eps)


class Swin(FeatureNetwork):
    """Swin-T: shifted windows of 7 x 7 patches, layer normalisation of the last map.

    Any input size will do: maps are padded to whole windows.

    Source: Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, ICCV 2021.
    """

    norm: nn.LayerNorm

    def extract(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / 32, W / 32), channels first."""
        x: Tensor = self.norm(super().extract(images))
        return x.permute(0, 3, 1, 2)

    def _adopt(self, body: Any, options: NetworkOptions) -> None:
        super()._adopt(body, options)
        self.norm = body.norm


def _last_width(body: Any) -> int:
    """Channels of the last map: what torchvision's first linear layer behind it reads."""
    tail = body.head if hasattr(body, "head") else body.classifier
    return next(layer.in_features for layer in tail.modules() if isinstance(layer, nn.Linear))
