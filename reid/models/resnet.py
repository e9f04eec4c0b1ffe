"""ResNet-18 with the batch-normalisation neck of person re-identification."""

from typing import ClassVar, cast

from torch import Tensor, nn

from reid.models.network import ReIDNetwork
from reid.torchvision_compat import torchvision

__all__ = ["ResNet18"]


class ResNet18(ReIDNetwork):
    """torchvision's ResNet-18 body, global average pooling and a BNNeck.

    The metric loss sees the pooled feature; the classifier (without bias) and retrieval see it behind the
    neck, a batch normalisation whose shift stays zero. State-dict keys of the body are torchvision's. The
    last stage keeps stride 2: at stride 1 the network would cost 1.7 times the MACs.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016; Luo et al., Bag of Tricks and
    A Strong Baseline for Deep Person Re-identification, CVPRW 2019, section 3.5.

    Args:
        num_classes: identities to train on, >= 1.
    """

    blocks: ClassVar[tuple[str, ...]] = tuple(
        f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)
    )

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        body = torchvision.models.resnet18(weights=None)
        width = body.fc.in_features
        self.conv1, self.bn1, self.relu, self.maxpool = body.conv1, body.bn1, body.relu, body.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            body.layer1,
            body.layer2,
            body.layer3,
            body.layer4,
        )
        self.avgpool = body.avgpool
        self.bottleneck = nn.BatchNorm1d(width)
        self.bottleneck.bias.requires_grad_(False)
        self.classifier = nn.Linear(width, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    @property
    def embedding_dim(self) -> int:
        """Width of the embedding as the layers are now."""
        return self.bottleneck.num_features

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled feature and the same after the neck, each (B, embedding_dim)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        feature = self.avgpool(x).flatten(1)
        return feature, cast(Tensor, self.bottleneck(feature))
