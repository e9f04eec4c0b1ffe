"""Costs against published figures and hand counts."""

from collections.abc import Callable

import pytest
import torch

from reid.models import ReIDNetwork, build, count
from reid.torchvision_compat import torchvision


def test_resnet18_costs_what_torchvision_and_the_neck_cost() -> None:
    size = count(build("resnet18", 751), (256, 128))
    reference = torchvision.models.resnet18()
    reference.fc = torch.nn.Identity()
    assert size.params == sum(p.numel() for p in reference.parameters()) + 2 * 512
    assert round(size.macs / 1e9, 3) == 1.184


@pytest.mark.parametrize(
    ("name", "mparams", "mmacs"),
    [
        ("osnet_x1_0", 2.2, 978.9),
        ("osnet_x0_75", 1.3, 571.8),
        ("osnet_x0_5", 0.6, 272.9),
        ("osnet_x0_25", 0.2, 82.3),
    ],
)
def test_osnet_costs_what_torchreid_publishes(name: str, mparams: float, mmacs: float) -> None:
    size = count(build(name, 751), (256, 128))
    assert round(size.params / 1e6, 1) == mparams
    assert round(size.macs / 1e6, 1) == mmacs


@pytest.mark.parametrize(
    ("name", "gmacs", "mparams"),
    [("resnet18", 1.184, 11.18), ("resnet34", 2.392, 21.29), ("resnet50", 2.669, 23.51)],
)
def test_residual_bodies_cost_what_was_calculated_elsewhere(name: str, gmacs: float, mparams: float) -> None:
    size = count(build(name, 751), (256, 128))
    assert round(size.macs / 1e9, 3) == gmacs
    assert size.params / 1e6 == pytest.approx(mparams, abs=0.006)


@pytest.mark.parametrize(
    ("width", "mmacs", "mparams"), [(0.5, 315, 2.80), (0.25, 88.5, 0.70), (0.125, 26.9, 0.177)]
)
def test_narrow_resnet18_costs_what_the_winner_of_lpcv_2021_did(
    width: float, mmacs: float, mparams: float
) -> None:
    size = count(build("resnet18", 751, width=width), (256, 128))
    assert size.macs / 1e6 == pytest.approx(mmacs, rel=0.005)
    assert size.params / 1e6 == pytest.approx(mparams, rel=0.01)


@pytest.mark.parametrize(
    ("name", "entry", "tail"),
    [
        ("convnext_tiny", "ConvNeXt_Tiny_Weights", 768 * 1000 + 1000),
        ("densenet121", "DenseNet121_Weights", 1024 * 1000 + 1000),
        ("efficientnet_b0", "EfficientNet_B0_Weights", 1280 * 1000 + 1000),
        ("mobilenet_v2", "MobileNet_V2_Weights", 1280 * 1000 + 1000),
        ("mobilenet_v3_large", "MobileNet_V3_Large_Weights", 960 * 1280 + 1280 + 1280 * 1000 + 1000),
        ("mobilenet_v3_small", "MobileNet_V3_Small_Weights", 576 * 1024 + 1024 + 1024 * 1000 + 1000),
        ("resnet101", "ResNet101_Weights", 2048 * 1000 + 1000),
        ("swin_t", "Swin_T_Weights", 768 * 1000 + 1000),
    ],
)
def test_bodies_have_the_parameters_torchvision_publishes(
    name: str, entry: str, tail: int, built: Callable[[str], ReIDNetwork]
) -> None:
    network = built(name)
    published = getattr(torchvision.models, entry).DEFAULT.meta["num_params"]
    assert count(network, (64, 32)).params == published - tail + 2 * network.embedding_dim


def test_classifiers_of_all_parts_are_left_out() -> None:
    few, many = (count(build("resnet18", people, head="pcb"), (64, 32)) for people in (2, 2000))
    assert few == many


def test_macs_follow_the_area_of_the_input() -> None:
    network = build("resnet18", 5)
    assert count(network, (256, 128)).macs == 4 * count(network, (128, 64)).macs


def test_one_layer_less_is_counted_by_hand() -> None:
    network = build("resnet18", 5)
    whole = count(network, (64, 32))
    network.layer1[0].conv1 = torch.nn.Identity()
    less = count(network, (64, 32))
    assert whole.params - less.params == 64 * 64 * 9
    assert whole.macs - less.macs == 64 * 64 * 9 * 16 * 8


def test_a_functional_convolution_counts() -> None:
    class Widened(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.nn.functional.conv2d(x, torch.ones(512, 512, 1, 1))

    network = build("resnet18", 5)
    before = count(network, (64, 32)).macs
    network.pool = torch.nn.Sequential(Widened(), network.pool)
    assert count(network, (64, 32)).macs - before == 512 * 512 * 2


def test_counting_leaves_the_network_as_it_was() -> None:
    network = build("osnet_x0_25", 5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count(network, (64, 32))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
