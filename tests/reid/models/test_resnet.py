"""Variations of the residual networks."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from reid.models import ReIDNetwork, build
from reid.models.ibn import InstanceBatchNorm
from reid.torchvision_compat import torchvision

Built = Callable[[str], ReIDNetwork]


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "densenet121"])
def test_last_stride_one_doubles_the_map_and_keeps_the_weights(name: str, built: Built) -> None:
    usual, larger = built(name).eval(), build(name, 7, last_stride=1).eval()
    larger.load_state_dict(usual.state_dict())
    images = torch.randn(1, 3, 128, 64)
    with torch.no_grad():
        small, big = usual.extract(images), larger.extract(images)
    assert small.shape[2:] == (4, 2)
    # DenseNet's last transition averages 2x2 pixels, which at a stride of 1 costs one row and one column.
    assert big.shape[2:] == ((7, 3) if name == "densenet121" else (8, 4))


def test_last_stride_two_is_the_usual_one() -> None:
    assert repr(build("resnet18", 5, last_stride=2)) == repr(build("resnet18", 5))


def test_half_of_the_channels_are_normalised_per_image() -> None:
    torch.manual_seed(0)
    layer, x = InstanceBatchNorm(6).train(), torch.randn(4, 6, 5, 3) * 3 + 1
    found = layer(x)
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
    torch.testing.assert_close(found[:, :3], ((x - mean) / (var + 1e-5).sqrt())[:, :3])
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, unbiased=False)
    torch.testing.assert_close(found[:, 3:], ((x - mean) / (var + 1e-5).sqrt())[:, 3:])


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_ibn_is_behind_the_first_convolution_of_three_stages(name: str, built: Built) -> None:
    network = build(name, 7, ibn=True)
    found = {path for path, layer in network.named_modules() if isinstance(layer, InstanceBatchNorm)}
    assert found == {f"{block}.bn1" for block in network.blocks if not block.startswith("layer4")}
    for path in found:
        width = network.get_submodule(path.replace("bn1", "conv1")).out_channels
        layer = network.get_submodule(path)
        assert (layer.IN.num_features, layer.BN.num_features) == (width // 2, width // 2)
        assert layer.IN.affine
    plain = built(name)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in plain.parameters())


def test_ibn_removes_the_style_of_an_image() -> None:
    layer = InstanceBatchNorm(8).eval()
    x = torch.randn(1, 8, 6, 6)
    brighter = layer(x * 3 + 2)
    torch.testing.assert_close(brighter[:, :4], layer(x)[:, :4], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(brighter[:, 4:], layer(x)[:, 4:], atol=0.1)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_width_scales_every_layer(name: str) -> None:
    narrow, wide = build(name, 5, width=0.5), getattr(torchvision.models, name)()
    for path, layer in wide.named_modules():
        if isinstance(layer, nn.Conv2d):
            twin = narrow.get_submodule(path)
            assert twin.out_channels == layer.out_channels // 2
            assert twin.in_channels == (3 if path == "conv1" else layer.in_channels // 2)
            assert (twin.stride, twin.padding, twin.kernel_size) == (
                layer.stride,
                layer.padding,
                layer.kernel_size,
            )
    assert narrow(torch.randn(2, 3, 64, 32)).feature.shape == (2, narrow.embedding_dim)
    assert narrow.embedding_dim == wide.fc.in_features // 2


def test_odd_widths_run_with_ibn() -> None:
    network = build("resnet18", 5, width=0.3, ibn=True, last_stride=1)
    assert network.embedding_dim == 154
    assert torch.isfinite(network(torch.randn(2, 3, 64, 32)).logits).all()
