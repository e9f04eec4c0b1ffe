"""What may be asked of a network, and what is refused before anything is built."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from reid.errors import ConfigError
from reid.models import BACKBONES, ReIDNetwork, build, demand_input_size
from reid.models.heads import HEADS
from reid.models.options import HEAD_NAMES, POOLING_NAMES
from reid.models.pooling import POOLINGS

Built = Callable[[str], ReIDNetwork]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "bneck"}, "unknown head 'bneck'; did you mean bnneck"),
        ({"pooling": "mean"}, "unknown pooling 'mean'; known: avg, gem, max"),
        ({"last_stride": 3}, "last_stride must be 1 or 2, got 3"),
        ({"width": 0.0}, "width must be 0 < width <= 2, got 0.0"),
        ({"width": float("nan")}, "width must be"),
        ({"head": "pcb", "parts": 1}, "parts must be 2 to 16, got 1"),
        ({"head": "pcb", "drop_branches": -1}, "drop_branches must be 0 to 64, got -1"),
        ({"dropout": 1.0}, "dropout must be 0 <= share < 1, got 1.0"),
        ({"spectral": 0.0}, "spectral must be a temperature above 0, got 0.0"),
        ({"parts": 4}, "parts belongs to head pcb, not to default"),
        ({"head": "linear", "drop_branches": 2}, "drop_branches belongs to head pcb, not to linear"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build("resnet18", 5, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("mobilenet_v2", {"ibn": True}, "mobilenet_v2 does not offer ibn; it is for resnet101, resnet18"),
        ("swin_t", {"last_stride": 1}, "swin_t does not offer last_stride; it is for densenet121, resnet101"),
        ("osnet_x0_5", {"width": 0.5}, "osnet_x0_5 does not offer width; it is for mobilenet_v2"),
        ("convnext_tiny", {"pooling": "gem"}, "pooling gem takes values below zero for zero"),
    ],
)
def test_what_a_backbone_does_not_offer_is_refused(
    backbone: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(backbone, 5, **options)


@pytest.mark.parametrize(
    ("backbone", "option"),
    [
        ("resnet18", {"ibn": True}),
        ("resnet18", {"last_stride": 1}),
        ("densenet121", {"last_stride": 1}),
        ("resnet18", {"width": 0.5}),
        ("mobilenet_v2", {"width": 0.5}),
        ("mobilenet_v3_small", {"width": 0.5}),
        ("mobilenet_v3_large", {"width": 0.5}),
        ("osnet_x0_25", {"pooling": "gem"}),
        ("swin_t", {"pooling": "max"}),
    ],
)
def test_what_is_offered_changes_the_network(backbone: str, option: dict[str, Any], built: Built) -> None:
    assert described(built(backbone)) != described(build(backbone, 7, **option))


def described(network: nn.Module) -> str:
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    return f"{network!r}{shapes}"


def test_names_are_those_of_the_registries() -> None:
    assert set(HEAD_NAMES) == {"default", *HEADS}
    assert set(POOLING_NAMES) == set(POOLINGS)


@pytest.mark.parametrize("backbone", sorted(BACKBONES))
@pytest.mark.parametrize("size", [(32, 16), (32, 32), (64, 48)])
def test_input_is_refused_where_the_map_would_vanish(
    backbone: str, size: tuple[int, int], built: Built
) -> None:
    network, images = built(backbone).eval(), torch.zeros(1, 3, *size)
    if size == (32, 16) and backbone in ("convnext_tiny", "densenet121"):
        with pytest.raises(
            ConfigError, match=f"{backbone} needs images of at least 32x32, got input_size 32x16"
        ):
            demand_input_size(backbone, size)
        with pytest.raises(RuntimeError), torch.no_grad():
            network(images)
    else:
        demand_input_size(backbone, size)
        with torch.no_grad():
            assert network(images).shape == (1, network.embedding_dim)
