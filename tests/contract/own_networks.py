"""Networks such as a user might bring, named by dotted paths in the tests."""

from torch import Tensor, nn

from reid.torchvision_compat import torchvision

__all__ = [
    "ResNet18",
    "fails",
    "fixed_size",
    "gives_a_pair",
    "gives_nothing",
    "logits_in_training",
    "resnet18",
    "whole",
]


class ResNet18(torchvision.models.ResNet):  # type: ignore[misc,name-defined]
    """torchvision's ResNet-18 up to its last map."""

    def __init__(self) -> None:
        super().__init__(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2])
        del self.fc

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x  # type: ignore[no-any-return]


def resnet18() -> nn.Module:
    return ResNet18()


def whole() -> nn.Module:
    """A network with an embedding of its own, and blocks that it names."""
    body = nn.Sequential(
        _unit(3, 16), nn.Sequential(_unit(16, 24), _unit(24, 16)), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 20), nn.BatchNorm1d(20),
    )  # fmt: skip
    body.blocks = ("1",)
    return body


def fixed_size() -> nn.Module:
    """Takes 128x64 only."""
    network = nn.Sequential(_unit(3, 6), _unit(6, 4), nn.Flatten(), nn.Linear(4 * 64 * 32, 8))
    network.example_size = (128, 64)
    return network


class _Pair(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, images


class _Logits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_unit(3, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images)
        return self.classifier(features) if self.training else features  # type: ignore[no-any-return]


def gives_a_pair() -> nn.Module:
    return _Pair()


def logits_in_training() -> nn.Module:
    return _Logits()


def gives_nothing() -> None:
    return None


def fails() -> nn.Module:
    raise RuntimeError("no licence file")


def _unit(inputs: int, outputs: int) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=2 if inputs == 3 else 1, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())
