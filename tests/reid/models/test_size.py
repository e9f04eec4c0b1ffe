"""Costs against published figures and hand counts."""

import torch

from reid.models import build, count
from reid.torchvision_compat import torchvision


def test_resnet18_costs_what_torchvision_and_the_neck_cost() -> None:
    size = count(build("resnet18", 751), (256, 128))
    reference = torchvision.models.resnet18()
    reference.fc = torch.nn.Identity()
    assert size.params == sum(p.numel() for p in reference.parameters()) + 2 * 512
    assert round(size.macs / 1e9, 3) == 1.184


def test_osnet_costs_what_torchreid_publishes() -> None:
    size = count(build("osnet_x0_25", 751), (256, 128))
    assert round(size.params / 1e6, 1) == 0.2
    assert round(size.macs / 1e6, 1) == 82.3


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
    network.avgpool = torch.nn.Sequential(Widened(), network.avgpool)
    assert count(network, (64, 32)).macs - before == 512 * 512 * 2


def test_counting_leaves_the_network_as_it_was() -> None:
    network = build("osnet_x0_25", 5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count(network, (64, 32))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
