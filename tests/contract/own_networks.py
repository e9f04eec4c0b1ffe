"""Networks such as a user might bring, named by dotted paths in the tests."""

import warnings

from torch import Tensor, nn

from reid.torchvision_compat import torchvision


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


def grows() -> nn.Module:
    """Its vectors are as long as the image is large."""
    network = nn.Sequential(_unit(3, 4), nn.Flatten())
    network.example_size = (64, 32)
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


class _Changed(nn.Module):
    """A small residual body with one thing changed."""

    def __init__(self, between: nn.Module, *, split: bool = False, flatten: bool = False) -> None:
        super().__init__()
        self.stem, self.first, self.between, self.second = _unit(3, 8), _unit(8, 8), between, _unit(8, 8)
        self.fc = nn.Linear(8, 1000)
        self._split, self._flatten = split, flatten

    def forward(self, images: Tensor) -> Tensor:
        x = self.between(self.first(self.stem(images)))
        if self._split:
            one, two = x.split([4, 4], 1)
            x = one.repeat(1, 2, 1, 1) + two.repeat(1, 2, 1, 1)
        x = self.second(x)
        return x.view(len(x), -1) if self._flatten else x


def with_an_unused_layer() -> nn.Module:
    return _Changed(nn.Identity())


def with_attention() -> nn.Module:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            rows = x.flatten(2).transpose(1, 2)
            seen: Tensor = self.attention(rows, rows, rows, need_weights=False)[0]
            return seen.transpose(1, 2).reshape(x.shape)

    return _Changed(Attention())


def with_a_choice() -> nn.Module:
    """Trains, and cannot be exported: what it computes depends on the values of the image."""

    class Choice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if x.detach().mean() > 0.5 else x

    return _Changed(Choice())


def with_a_split() -> nn.Module:
    return _Changed(nn.Identity(), split=True)


def with_a_softplus() -> nn.Module:
    return _Changed(nn.Sequential(nn.BatchNorm2d(8), nn.Softplus()))


def with_a_weight_norm() -> nn.Module:
    """Torch keeps the normed weight as a plain tensor, which cannot be copied once it has a history."""
    body = _unit(3, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for layer in [one for one in body.modules() if isinstance(one, nn.Conv2d)]:
            nn.utils.weight_norm(layer)
    return body


def with_a_view() -> nn.Module:
    return _Changed(nn.Identity(), flatten=True)


def of_any_width() -> nn.Module:
    return nn.Sequential(_unit(3, 4), nn.Flatten())


def tied() -> nn.Module:
    unit = _unit(8, 8)
    return nn.Sequential(_unit(3, 8), unit, unit)


def of_a_wrong_example_size() -> nn.Module:
    network = _unit(3, 4)
    network.example_size = 128  # type: ignore[assignment]
    return network


def of_wrong_blocks() -> nn.Module:
    network = _unit(3, 4)
    network.blocks = ("layer1.0",)  # type: ignore[assignment]
    return network


def without_its_weights() -> nn.Module:
    raise ConnectionError("the server of the weights does not answer")
