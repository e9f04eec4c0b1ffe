"""Weight files: the kinds that load, and what is said of those that do not."""

import json
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from reid.errors import ConfigError, ResourceError
from reid.models import ReIDNetwork, build, load_weights, read_state_dict

Built = Callable[[str], ReIDNetwork]


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return build("osnet_x0_25", 4).state_dict()


def write(kind: str, state: dict[str, Tensor], folder: Path) -> Path:
    path = folder / ("w.safetensors" if kind == "safetensors" else "w.pth")
    contents = {
        "bare": state,
        "nested": {"state_dict": state, "epoch": 3},
        "parallel": {f"module.{k}": v for k, v in state.items()},
    }
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(contents[kind], path)
    return path


@pytest.mark.parametrize("kind", ["bare", "nested", "parallel", "safetensors"])
def test_every_kind_of_file_loads(kind: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    network = build("osnet_x0_25", 4, weights=write(kind, state, tmp_path))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_report_names_what_did_not_fit(state: dict[str, Tensor], tmp_path: Path) -> None:
    changed = dict(state) | {"classifier.weight": torch.zeros(9, 512), "extra": torch.zeros(1)}
    del changed["fc.0.bias"]
    network = build("osnet_x0_25", 4)
    kept = network.fc[0].bias.clone()
    report = load_weights(network, write("bare", changed, tmp_path))
    assert report.mismatched == ("classifier.weight",)
    assert report.unexpected == ("extra",)
    assert report.missing == ("fc.0.bias",)
    assert len(report.loaded) == len(state) - 2
    assert torch.equal(network.fc[0].bias, kept)
    assert (
        str(report)
        == "565 loaded; 1 missing (fc.0.bias); 1 unexpected (extra); 1 mismatched (classifier.weight)"
    )


def test_build_accepts_a_body_without_heads(tmp_path: Path) -> None:
    body = {
        k: v for k, v in build("resnet18", 4).state_dict().items() if k.startswith(("conv", "bn", "layer"))
    }
    imagenet = body | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    network = build("resnet18", 6, weights=write("bare", imagenet, tmp_path))
    assert torch.equal(network.conv1.weight, body["conv1.weight"])


def test_layers_that_the_network_lacks_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = build("resnet18", 4).state_dict()
    classifiers = {f"{name}.weight": torch.zeros(9, 512) for name in ("fc", "head")}
    build("resnet18", 4, weights=write("bare", given | classifiers, tmp_path))
    assert not caplog.records
    lost = {f"layer1.{block}.se.fc.{n}.weight": torch.zeros(1) for block in (0, 1) for n in (0, 2, 4)}
    build("resnet18", 4, weights=write("bare", given | lost | classifiers, tmp_path))
    assert re.search(r"no place for: layer1\.0\.se\.fc\.0\.weight, .* and 2 more$", caplog.text.strip())


def test_build_refuses_a_file_that_leaves_the_body_unfilled(state: dict[str, Tensor], tmp_path: Path) -> None:
    partial = {name: value for name, value in state.items() if not name.startswith("conv5")}
    with pytest.raises(ConfigError, match=r"do not fill osnet_x0_25: .* 5 missing \(conv5.conv.weight"):
        build("osnet_x0_25", 4, weights=write("bare", partial, tmp_path))


def test_another_backbone_is_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="do not fill resnet18"):
        build("resnet18", 4, weights=write("bare", state, tmp_path))
    with pytest.raises(ConfigError, match=r"no entry of .* fits OSNet"):
        load_weights(build("osnet_x0_25", 4), write("bare", {"a": torch.zeros(1)}, tmp_path))


def test_other_options_are_refused(tmp_path: Path) -> None:
    path = write("bare", build("resnet18", 4).state_dict(), tmp_path)
    with pytest.raises(
        ConfigError, match=r"do not fill resnet18: .*mismatched .*give weights of that backbone"
    ):
        build("resnet18", 4, width=0.5, weights=path)
    with pytest.raises(ConfigError, match=r"missing \(layer1.0.bn1.IN.weight"):
        build("resnet18", 4, ibn=True, weights=path)


def test_another_head_and_pooling_start_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = build("resnet18", 4).state_dict()
    network = build("resnet18", 4, head="linear", pooling="gem", weights=write("bare", given, tmp_path))
    assert torch.equal(network.layer4[1].conv2.weight, given["layer4.1.conv2.weight"])
    assert "pool.pooling.p" in caplog.text
    assert "reduce.0.weight" in caplog.text


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ({"head": "linear"}, {}),
        ({"pooling": "gem"}, {}),
        ({"head": "pcb"}, {}),
        ({"head": "linear"}, {"head": "pcb"}),
        ({"head": "pcb", "parts": 3}, {"head": "pcb"}),
    ],
)
def test_weights_of_another_head_or_pooling_are_refused(
    there: dict[str, Any], here: dict[str, Any], tmp_path: Path
) -> None:
    path = write("bare", build("resnet18", 4, **there).state_dict(), tmp_path)
    with pytest.raises(
        ConfigError, match=r"another head or pooling \((reduce|pool)\..*; set head, parts and pooling"
    ):
        build("resnet18", 4, weights=path, **here)
    build("resnet18", 9, weights=path, **there)


def test_densenet_reads_the_names_of_old_files(tmp_path: Path, built: Built) -> None:
    given = built("densenet121").state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): v for name, v in given.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    report = load_weights(built("densenet121"), write("bare", old, tmp_path))
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())


def test_convnext_reads_torchvisions_normalisation(tmp_path: Path, built: Built) -> None:
    network = built("convnext_tiny")
    given = {
        key.replace("norm.", "classifier.0.", key.startswith("norm.")): v
        for key, v in network.state_dict().items()
    }
    given["classifier.0.weight"] = torch.rand(768)
    report = load_weights(network, write("bare", given, tmp_path))
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    assert torch.equal(network.norm.weight, given["classifier.0.weight"])


def test_convnext_reads_its_own_stripes_back(tmp_path: Path) -> None:
    """They are named as torchvision names what comes under another name here."""
    saved, other = (build("convnext_tiny", 5, head="pcb", parts=2) for _ in range(2))
    torch.nn.init.uniform_(saved.get_parameter("norm.weight"))
    save_file(saved.state_dict(), tmp_path / "own.safetensors")
    report = load_weights(other, tmp_path / "own.safetensors")
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    assert torch.equal(other.get_parameter("norm.weight"), saved.get_parameter("norm.weight"))


@pytest.mark.realdata
def test_mobilenet_loads_imagenet_features(real_data: Path) -> None:
    path = real_data / "weights/mobilenet_v2_imagenet_features.pth"
    network = build("mobilenet_v2", 30, weights=path)
    given = torch.load(path, weights_only=True)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in given.items())
    body = {name for name in network.state_dict() if name.startswith("features.")}
    assert body == set(given)


def test_a_file_that_cannot_be_read_now_is_no_bad_file(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(state, tmp_path / "w.pth")

    def stale(*_: object, **__: object) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(torch, "load", stale)
    with pytest.raises(ResourceError, match="Stale file handle"):
        read_state_dict(tmp_path / "w.pth")


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pth do not exist"):
        read_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02garbage"])
def test_damaged_file_is_named(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"damaged\\{suffix} are no plain tensors") as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


def test_torn_file_is_named(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = write("bare", state, tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ConfigError, match="no plain tensors"):
        read_state_dict(path)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_x1_code_in_a_file_is_not_executed(tmp_path: Path) -> None:
    torch.save({"a": Bomb(tmp_path / "executed")}, tmp_path / "bomb.pth")
    with pytest.raises(ConfigError, match="no plain tensors"):
        read_state_dict(tmp_path / "bomb.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("shape", [[2_500_000_000], [2**62, 4], [-1]])
def test_x1_a_header_that_promises_too_much_costs_nothing(shape: list[int], tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 10_000_000_000]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(64))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        read_state_dict(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, torch.zeros(2)])
def test_other_content_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="hold no state dict"):
        read_state_dict(tmp_path / "w.pth")
