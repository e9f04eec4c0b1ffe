"""Networks against torchvision, published figures and the tools that take them apart."""

import copy
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_pruning
from PIL import Image
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.models import BACKBONES, ReIDNetwork, TrainingOutput, build, load_weights
from reid.torchvision_compat import torchvision
from reid.train import embed
from tests.contract.deployment import randomise_batch_norm

OSNET_WEIGHTS = "weights/osnet_x0_25_market1501.pth"


Built = Callable[[str], ReIDNetwork]


@pytest.fixture(params=sorted(BACKBONES))
def network(request: pytest.FixtureRequest, built: Built) -> ReIDNetwork:
    return built(request.param)


@pytest.fixture(params=["osnet_x0_25", "resnet18", "resnet50", "mobilenet_v3_small"])
def prunable(request: pytest.FixtureRequest, built: Built) -> ReIDNetwork:
    return built(request.param)


def test_training_gives_feature_embedding_and_logits_and_eval_the_embedding(network: ReIDNetwork) -> None:
    images = torch.randn(4, 3, 64, 32)
    output = network(images)
    assert isinstance(output, TrainingOutput)
    assert output.feature.shape == output.embedding.shape == (4, network.embedding_dim)
    assert output.logits.shape == (4, 7)
    with torch.no_grad():
        embedding = network.eval()(images)
        feature, same = network.embed(images)
    torch.testing.assert_close(embedding, same, rtol=0, atol=0)
    assert feature.shape == embedding.shape == (4, network.embedding_dim)
    assert not torch.allclose(embedding.norm(dim=1), torch.ones(4))


def test_training_reaches_every_parameter(network: ReIDNetwork) -> None:
    output = network(torch.randn(4, 3, 64, 32))
    (output.feature.square().mean() + output.logits.square().mean()).backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize(
    "name", ["osnet_x0_25", "osnet_x1_0", "resnet18", "resnet34", "resnet50", "resnet101"]
)
def test_blocks_name_the_residual_blocks(name: str, built: Built) -> None:
    network = built(name)
    inside = {n for n, m in network.named_modules() if hasattr(m, "downsample")}
    assert set(network.blocks) == inside
    assert len(network.blocks) == len(inside)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("convnext_tiny", 3 + 3 + 9 + 3),
        ("densenet121", 6 + 12 + 24 + 16),
        ("efficientnet_b0", 16),
        ("mobilenet_v2", 17),
        ("mobilenet_v3_large", 15),
        ("mobilenet_v3_small", 11),
        ("swin_t", 2 + 2 + 6 + 2),
    ],
)
def test_blocks_are_as_many_as_published(name: str, blocks: int, built: Built) -> None:
    network = built(name)
    assert len(network.blocks) == blocks
    assert all(next(network.get_submodule(block).parameters()).numel() for block in network.blocks)


def theirs(name: str, state: dict[str, Tensor]) -> nn.Module:
    """torchvision's network with our body's weights, up to what it gives its last linear layers."""
    network = getattr(torchvision.models, name)()
    if name == "convnext_tiny":
        state = {
            key.replace("norm.", "classifier.0.", key.startswith("norm.")): v for key, v in state.items()
        }
    network.load_state_dict(
        {k: v for k, v in state.items() if v.shape == network.state_dict()[k].shape}, strict=False
    )
    if name.startswith("resnet"):
        network.fc = nn.Identity()
    elif name == "swin_t":
        network.head = nn.Identity()
    elif name == "convnext_tiny":
        network.classifier[2] = nn.Identity()
    else:
        network.classifier = nn.Identity()
    return network.eval()


@pytest.mark.parametrize("name", sorted(name for name in BACKBONES if not name.startswith("osnet")))
def test_feature_is_what_torchvision_gives_its_linear_layers(name: str, built: Built) -> None:
    network = built(name).eval()
    randomise_batch_norm(network)
    body = {
        k: v
        for k, v in network.state_dict().items()
        if not k.startswith(("bottleneck", "classifier", "reduce", "pool"))
    }
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        feature, embedding = network.embed(images)
        torch.testing.assert_close(feature, theirs(name, body)(images))
    neck = network.bottleneck
    expected = (feature - neck.running_mean) / (neck.running_var + 1e-5).sqrt() * neck.weight + neck.bias
    torch.testing.assert_close(embedding, expected)


def test_shift_of_the_neck_stays_zero_and_the_classifier_has_none() -> None:
    network = build("resnet18", 5)
    assert not network.bottleneck.bias.requires_grad
    assert network.bottleneck.weight.requires_grad
    assert network.classifier.bias is None


def test_metric_loss_of_resnet_reaches_past_the_neck() -> None:
    network = build("resnet18", 5)
    network(torch.randn(4, 3, 64, 32)).feature.sum().backward()
    assert network.bottleneck.weight.grad is None
    assert network.conv1.weight.grad.abs().sum() > 0


def test_metric_loss_of_osnet_sees_the_linear_layer() -> None:
    network = build("osnet_x0_25", 5).eval()
    with torch.no_grad():
        feature, embedding = network.embed(torch.randn(4, 3, 64, 32))
        torch.testing.assert_close(embedding, network.fc[1:](feature))
    assert (feature < 0).any()
    assert (embedding >= 0).all()


def test_osnet_shares_one_gate_between_its_four_streams() -> None:
    network = build("osnet_x0_25", 5).eval()
    calls: list[int] = []
    network.get_submodule("conv2.0.gate").register_forward_hook(lambda *_: calls.append(1))
    network(torch.randn(1, 3, 64, 32))
    assert len(calls) == 4


def test_osnet_streams_see_one_to_four_3x3_neighbourhoods() -> None:
    block = build("osnet_x0_25", 5).get_submodule("conv2.0").eval()
    for index, name in enumerate(("conv2a", "conv2b", "conv2c", "conv2d"), start=1):
        x = torch.randn(1, 16, 15, 15, requires_grad=True)
        block.get_submodule(name)(x)[0, :, 7, 7].sum().backward()
        rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
        assert rows.max() - rows.min() + 1 <= 2 * index + 1
        assert len(block.get_submodule(name).state_dict()) == 7 * index


def test_survives_symbolic_tracing(network: ReIDNetwork) -> None:
    images = torch.randn(2, 3, 64, 32)
    network.eval()
    traced = torch.fx.symbolic_trace(network)
    with torch.no_grad():
        torch.testing.assert_close(traced(images), network(images), rtol=0, atol=0)


def test_runs_with_half_of_every_group_of_channels_removed(prunable: ReIDNetwork) -> None:
    dense = prunable.embedding_dim
    graph = torch_pruning.DependencyGraph().build_dependency(
        prunable,
        torch.zeros(2, 3, 64, 32),
        forward_fn=lambda model, images: model.classifier(model.embed(images)[1]),
        verbose=False,
    )
    layers = [nn.Conv2d, nn.Linear]
    for group in graph.get_all_groups(root_module_types=layers, ignored_layers=[prunable.classifier]):
        width = graph.get_out_channels(group[0].dep.target.module)
        group.prune(idxs=list(range(width // 2)))
    assert prunable.embedding_dim == dense // 2
    output = prunable.train()(torch.randn(4, 3, 64, 32))
    assert output.feature.shape == (4, dense // 2)
    assert output.logits.shape == (4, 7)


def test_copies_share_nothing(network: ReIDNetwork) -> None:
    twin = copy.deepcopy(network)
    with torch.no_grad():
        next(twin.parameters()).zero_()
    assert next(network.parameters()).abs().sum() > 0


def test_unknown_backbone_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"did you mean resnet18\? known: .*osnet_x0_25, .*resnet18"):
        build("resnet19", 5)


def test_num_classes_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_classes must be at least 1, got 0"):
        build("resnet18", 0)


@pytest.mark.realdata
def test_osnet_loads_torchreids_weights_exactly(real_data: Path) -> None:
    path = real_data / OSNET_WEIGHTS
    network = build("osnet_x0_25", 751)
    report = load_weights(network, path)
    assert len(report.loaded) == 567
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    given = torch.load(path, weights_only=True)
    assert all(torch.equal(value, given[name]) for name, value in network.state_dict().items())


@pytest.mark.realdata
def test_osnet_with_other_identities_skips_the_classifier_alone(
    real_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = real_data / OSNET_WEIGHTS
    network = build("osnet_x0_25", 30, weights=path)
    assert "classifier.weight, classifier.bias" in caplog.text
    assert network.classifier.out_features == 30
    report = load_weights(network, path)
    assert report.mismatched == ("classifier.weight", "classifier.bias")
    assert len(report.loaded) == 565


@pytest.mark.realdata
def test_osnet_finds_real_people_in_another_camera(real_data: Path) -> None:
    network = build("osnet_x0_25", 751, weights=real_data / OSNET_WEIGHTS)
    folder = "Market-1501-v15.09.15/query/"
    with zipfile.ZipFile(real_data / "Market-1501-v15.09.15.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.startswith(folder) and n.endswith(".jpg"))[:100]
        images = np.stack([_resized(archive.read(name)) for name in names])
    people = np.array([name.split("/")[-1].split("_")[0] for name in names])
    found = embed(network, images)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    similarity = found @ found.T
    np.fill_diagonal(similarity, -1)
    # A person's query images are all from different cameras. 0.90 with these weights, 0.10 with random ones.
    assert (people[similarity.argmax(1)] == people).mean() > 0.85


def _resized(content: bytes) -> np.ndarray:
    return np.asarray(
        Image.open(BytesIO(content)).convert("RGB").resize((128, 256), Image.Resampling.BILINEAR)
    )
