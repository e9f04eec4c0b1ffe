"""The units of both networks, and an independent check: a channel that is masked reaches no other layer."""

from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.models import ReIDNetwork
from reid.prune import PruneUnit, Span, find_units

NETWORKS = ("resnet18", "osnet_x0_25")
Build = Callable[[str], ReIDNetwork]


def by_name(model: ReIDNetwork, scope: str) -> dict[str, PruneUnit]:
    return {unit.name: unit for unit in find_units(model, scope)}


def test_inner_units_of_resnet_are_the_block_convolutions(network: Build) -> None:
    model = network("resnet18")
    units = by_name(model, "inner")
    assert list(units) == [f"{block}.conv{i}" for block in model.blocks for i in (1, 2)]
    for block in model.blocks:
        first, second = units[f"{block}.conv1"], units[f"{block}.conv2"]
        assert (first.kind, first.block, first.norms) == ("group", block, (f"{block}.bn1",))
        assert first.readers == (f"{block}.conv2",)
        assert (second.kind, second.block, second.norms) == ("scatter", block, (f"{block}.bn2",))
        assert second.readers == ()


def test_grouped_units_of_resnet_tie_the_stream(network: Build) -> None:
    units = by_name(network("resnet18"), "grouped")
    assert units["conv1"] == PruneUnit(
        name="conv1",
        kind="group",
        block=None,
        width=64,
        convs=("conv1", "layer1.0.conv2", "layer1.1.conv2"),
        norms=("bn1", "layer1.0.bn2", "layer1.1.bn2"),
        readers=("layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.downsample.0"),
    )
    last = units["layer4.0.conv2"]
    assert last.is_embedding
    assert last.norms[-1] == "bottleneck"
    assert last.readers == ("layer4.1.conv1", "classifier")
    assert [unit.name for unit in units.values() if unit.is_embedding] == ["layer4.0.conv2"]


def test_streams_and_gate_of_osnet_are_one_unit(network: Build) -> None:
    fused = by_name(network("osnet_x0_25"), "inner")["conv3.1.conv2a.conv1"]
    ends = ("conv2a", "conv2b.1", "conv2c.2", "conv2d.3")
    assert set(fused.convs) == {f"conv3.1.{end}.conv{i}" for end in ends for i in (1, 2)} | {
        "conv3.1.gate.fc2"
    }
    assert set(fused.norms) == {f"conv3.1.{end}.bn" for end in ends}
    assert fused.readers == ("conv3.1.gate.fc1", "conv3.1.conv3.conv")


def test_embedding_of_a_linear_neck_stays(network: Build) -> None:
    for scope in ("inner", "grouped"):
        units = find_units(network("osnet_x0_25"), scope)
        assert not any(unit.is_embedding or "fc.0" in unit.convs or "fc.1" in unit.norms for unit in units)


@pytest.mark.parametrize("name", NETWORKS)
def test_inner_units_stay_inside_their_blocks(name: str, network: Build) -> None:
    model = network(name)
    for unit in find_units(model, "inner"):
        assert unit.block in model.blocks
        for layer in (*unit.convs, *unit.norms, *unit.readers):
            assert layer.startswith(f"{unit.block}.")
    scattered = [unit.block for unit in find_units(model, "inner") if unit.kind == "scatter"]
    # OSNet's blocks end in a pointwise convolution.
    assert scattered == (list(model.blocks) if name == "resnet18" else [])


@pytest.mark.parametrize("name", NETWORKS)
def test_grouped_units_hold_every_convolution_once(name: str, network: Build) -> None:
    model = network(name)
    written = [conv for unit in find_units(model, "grouped") for conv in unit.convs]
    convs = [path for path, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]
    assert sorted(written) == sorted(convs)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_is_left_as_it_was(name: str, network: Build) -> None:
    model, untouched = network(name), network(name)
    find_units(model, "grouped")
    assert model.training
    for (path, value), expected in zip(
        model.state_dict().items(), untouched.state_dict().values(), strict=True
    ):
        assert torch.equal(value, expected), path
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in untouched.parameters()]


def test_units_are_found_without_gradients(network: Build) -> None:
    model = network("resnet18")
    with torch.no_grad():
        assert find_units(model, "inner") == find_units(network("resnet18"), "inner")


def test_unknown_scope(network: Build) -> None:
    with pytest.raises(ConfigError, match="outer"):
        find_units(network("resnet18"), "outer")


class Tiny(ReIDNetwork):
    """A network around one questionable layer."""

    blocks: ClassVar[tuple[str, ...]] = ()

    def __init__(self, odd: nn.Module) -> None:
        super().__init__()
        self.first, self.odd = nn.Conv2d(3, 8, 3, padding=1), odd
        self.classifier = nn.Linear(8, 2)

    @property
    def embedding_dim(self) -> int:
        return self.classifier.in_features

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        feature = self.odd(self.first(images)).mean((2, 3))
        return feature, feature


class Concatenates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(16, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.cat([x, x], 1))


@pytest.mark.parametrize(
    "odd", [nn.Conv2d(8, 8, 1, groups=2), nn.GroupNorm(2, 8), nn.PReLU(8), nn.LayerNorm([8, 64, 32])]
)
def test_layers_that_cannot_be_narrowed_are_named(odd: nn.Module) -> None:
    with pytest.raises(ConfigError, match="odd"):
        find_units(Tiny(odd), "grouped")


def test_channels_that_are_read_twice_stay_whole() -> None:
    assert [unit.name for unit in find_units(Tiny(Concatenates()), "grouped")] == ["odd.conv"]


def test_a_part_of_a_concatenation_is_a_span(network: Build) -> None:
    units = by_name(network("densenet121"), "grouped")
    stem, growth = units["features.conv0"], units["features.denseblock1.denselayer2.conv2"]
    assert (stem.width, growth.width) == (64, 32)
    assert stem.convs == ("features.conv0",)
    assert growth.norms[0] == "features.denseblock1.denselayer3.norm1"
    assert growth.readers[0] == "features.denseblock1.denselayer3.conv1"
    assert growth.span(growth.norms[0]) == Span(first=96, of=128)
    assert growth.span("features.transition1.conv") == Span(first=96, of=256)
    embedding = [unit for unit in units.values() if unit.is_embedding]
    assert sum(unit.width for unit in embedding) == 1024
    assert {unit.span("bottleneck").of for unit in embedding} == {1024}


def test_inner_units_of_densenet_leave_the_concatenation_alone(network: Build) -> None:
    model = network("densenet121")
    assert list(by_name(model, "inner")) == [f"{block}.conv1" for block in model.blocks]


def test_halves_of_an_instance_batch_norm_are_units(network: Callable[..., ReIDNetwork]) -> None:
    units = by_name(network("resnet18", ibn=True), "inner")
    image, batch = units["layer2.0.conv1"], units["layer2.0.conv1#2"]
    assert (image.norms, batch.norms) == (("layer2.0.bn1.IN",), ("layer2.0.bn1.BN",))
    assert image.span("layer2.0.conv1") == Span(first=0, of=128)
    assert batch.span("layer2.0.conv2") == Span(first=64, of=128)
    assert batch.span("layer2.0.bn1.BN") == Span(first=0, of=64)


@pytest.mark.parametrize("name", ["convnext_tiny", "swin_t"])
def test_streams_under_a_layer_normalisation_stay_whole(name: str, network: Build) -> None:
    model = network(name)
    units = find_units(model, "grouped")
    assert units == find_units(model, "inner")
    assert [unit.block for unit in units] == list(model.blocks)
    for unit in units:
        (writer,), (reader,) = unit.convs, unit.readers
        assert (
            model.get_submodule(writer).out_features == model.get_submodule(reader).in_features == unit.width
        )


def test_an_embedding_straight_from_a_convolution() -> None:
    units = find_units(Tiny(nn.Conv2d(8, 8, 1)), "grouped")
    assert [(unit.name, unit.is_embedding) for unit in units] == [("first", False), ("odd", True)]
