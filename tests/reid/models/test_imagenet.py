"""Weights by torchvision's names: through its own loader, without a network."""

from pathlib import Path

import pytest
import torch

from reid.errors import ConfigError, ResourceError
from reid.files import sha256_of
from reid.models import NetworkOptions, build, check_weights, weights_key
from reid.torchvision_compat import torchvision


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch's own cache, empty, and a proxy that refuses."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    return tmp_path / "hub" / "checkpoints"


def test_torchvisions_own_file_fills_the_body(offline: Path) -> None:
    torch.manual_seed(5)
    theirs = torchvision.models.mobilenet_v3_small()
    offline.mkdir(parents=True)
    url = torchvision.models.MobileNet_V3_Small_Weights.IMAGENET1K_V1.url
    torch.save(theirs.state_dict(), offline / url.rpartition("/")[2])
    for name in (
        "imagenet",
        "MobileNet_V3_Small_Weights.IMAGENET1K_V1",
        "MobileNet_V3_Small_Weights.DEFAULT",
    ):
        network = build("mobilenet_v3_small", 5, weights=name)
        for key, value in theirs.features.state_dict().items():
            assert torch.equal(network.features.state_dict()[key], value), key


def test_without_a_network_one_line_says_what_to_do(offline: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        build("resnet50", 5, weights="ResNet50_Weights.IMAGENET1K_V1")
    message = str(caught.value)
    assert message.startswith("cannot get weights ResNet50_Weights.IMAGENET1K_V1 (URLError: ")
    assert message.endswith(
        "give a path, or put https://download.pytorch.org/models/resnet50-0676ba61.pth "
        f"at {offline / 'resnet50-0676ba61.pth'}"
    )
    assert "\n" not in message


def test_weights_that_fit_by_their_name_are_not_downloaded_to_be_checked(offline: Path) -> None:
    check_weights("resnet50", "imagenet", NetworkOptions(head="linear", last_stride=1))
    for options in (NetworkOptions(ibn=True), NetworkOptions(width=0.5)):
        with pytest.raises(ResourceError, match="cannot get weights"):
            check_weights("resnet50", "imagenet", options)


def test_a_damaged_file_in_the_cache_is_named(offline: Path) -> None:
    offline.mkdir(parents=True)
    (offline / "resnet18-f37072fd.pth").write_bytes(b"half a downl")
    with pytest.raises(
        ResourceError, match=r"cannot get weights ResNet18_Weights\.IMAGENET1K_V1 .*resnet18-f37072fd"
    ):
        build("resnet18", 5, weights="imagenet")


@pytest.mark.parametrize(
    ("backbone", "weights", "message"),
    [
        ("osnet_x0_5", "imagenet", "torchvision has no weights of osnet_x0_5, .* give a path"),
        ("resnet50", "ResNet50_Weights.V9", "known: imagenet, ResNet50_Weights.IMAGENET1K_V1"),
        ("resnet50", "ResNet18_Weights.IMAGENET1K_V1", "unknown weights .* of resnet50"),
    ],
)
def test_unknown_names_are_refused(backbone: str, weights: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(backbone, 5, weights=weights)
    with pytest.raises(ConfigError, match=message):
        weights_key(backbone, weights)


def test_key_tells_weights_apart(tmp_path: Path) -> None:
    recommended = weights_key("resnet50", "imagenet")
    assert recommended == weights_key("resnet50", "ResNet50_Weights.IMAGENET1K_V2")
    assert recommended != weights_key("resnet50", "ResNet50_Weights.IMAGENET1K_V1")
    file = tmp_path / "ResNet50_Weights.IMAGENET1K_V2.pth"
    file.write_bytes(b"weights")
    assert weights_key("resnet50", file) == weights_key("resnet50", str(file)) == sha256_of(file)
    with pytest.raises(ConfigError, match=r"none\.pth do not exist"):
        weights_key("resnet50", tmp_path / "none.pth")
