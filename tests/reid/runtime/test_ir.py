"""An OpenVINO IR read by torch, beside OpenVINO itself."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.models import build
from reid.runtime.foreign import open_openvino
from reid.runtime.ir import IrGraph
from tests.reid.runtime.teachers import HEIGHT, WIDTH, channel_means

openvino: Any = pytest.importorskip("openvino", reason="openvino is not installed (an extra)")
SIZE = (64, 32)


def saved(network: nn.Module, path: Path, *, half: bool = False) -> Path:
    """The IR that OpenVINO makes of a network."""
    network.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OpenVINO traces with what torch has deprecated
        model = openvino.convert_model(network, example_input=torch.zeros(1, 3, *SIZE))
    model.reshape([-1, 3, *SIZE])
    openvino.save_model(model, path, compress_to_fp16=half)
    return path


def both(path: Path, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(3).normal(size=(count, 3, *SIZE)).astype(np.float32)
    with torch.inference_mode():
        own = IrGraph(path)(torch.from_numpy(images)).numpy()
    return own, open_openvino(path, SIZE, None, 1)(images).reshape(own.shape)


@pytest.mark.parametrize(
    ("backbone", "half"), [("osnet_x0_25", True), ("resnet18", False), ("mobilenet_v2", False)]
)
def test_networks_embed_as_in_openvino(backbone: str, half: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    own, theirs = both(saved(build(backbone, 2), tmp_path / "net.xml", half=half))
    assert np.ptp(theirs) > 0
    np.testing.assert_allclose(own, theirs, atol=2e-5 * np.abs(theirs).max(), rtol=0)


class _Of(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.transpose(1, 2) / 3 - 0.5,
        lambda x: x.clamp(-0.3, 0.4) ** 3,
        lambda x: x / x.norm(dim=1, keepdim=True) + x.amax((2, 3), keepdim=True),
        lambda x: torch.cat([x, x * x], dim=1),
        lambda x: nn.functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        lambda x: nn.functional.avg_pool2d(x, 3, 2, 1, count_include_pad=True),
        lambda x: nn.functional.avg_pool2d(x, 3, 2, ceil_mode=True),
        lambda x: nn.functional.max_pool2d(x, 3, 2, 1),
        lambda x: nn.functional.max_pool2d(x, 3, 2, ceil_mode=True),
        lambda x: nn.functional.instance_norm(x),
        lambda x: nn.functional.layer_norm(x, x.shape[2:]),
        lambda x: nn.functional.prelu(x, torch.tensor([0.1, 0.2, 0.3])),
        lambda x: torch.sigmoid(x) * nn.functional.adaptive_avg_pool2d(x, 1),
        lambda x: x.reshape(x.shape[0], -1),
        lambda x: x[:, [2, 0, 1]],
        lambda x: x.unsqueeze(1).squeeze(1) @ torch.ones(32, 5),
    ],
)
def test_operations_compute_as_in_openvino(function: Callable[[Tensor], Tensor], tmp_path: Path) -> None:
    own, theirs = both(saved(_Of(function), tmp_path / "net.xml"))
    np.testing.assert_allclose(own, theirs, atol=1e-5)


def test_weights_move_and_shapes_do_not(tmp_path: Path) -> None:
    network = IrGraph(saved(build("osnet_x0_25", 2), tmp_path / "net.xml")).to("meta")
    assert network(torch.zeros(2, 3, *SIZE, device="meta")).shape == (2, 512)


@pytest.mark.parametrize("name", ["first", "second"])
def test_the_output_that_is_named(name: str, tmp_path: Path) -> None:
    model = channel_means(tmp_path / "net.onnx", outputs=("first", "second"))
    openvino.save_model(openvino.convert_model(model), path := tmp_path / "net.xml", compress_to_fp16=False)
    images = np.random.default_rng(3).random((2, 3, HEIGHT, WIDTH), dtype=np.float32)
    expected = open_openvino(path, (HEIGHT, WIDTH), name, 1)(images)
    np.testing.assert_allclose(IrGraph(path, name)(torch.from_numpy(images)).numpy(), expected, atol=1e-6)
    for wrong in ("third", None):
        with pytest.raises(ConfigError, match=r"net\.xml cannot be read as OpenVINO IR: .*output"):
            IrGraph(path, wrong)


def test_torn_weights_and_damaged_texts_are_refused(tmp_path: Path) -> None:
    path = saved(build("osnet_x0_25", 2), tmp_path / "net.xml")
    weights, text = path.with_suffix(".bin").read_bytes(), path.read_text()
    path.with_suffix(".bin").write_bytes(weights[:1000])
    with pytest.raises(ConfigError, match=r"net\.xml .* lies outside of its weights"):
        IrGraph(path)
    path.with_suffix(".bin").write_bytes(weights)
    for damaged in ("", "<net/>", text[: len(text) // 2], text.replace('offset="0"', 'offset="-8"')):
        path.write_text(damaged)
        with pytest.raises(ConfigError, match=r"net\.xml cannot be read as OpenVINO IR") as caught:
            IrGraph(path)
        assert "\n" not in str(caught.value)


def test_an_unknown_operation_is_named(tmp_path: Path) -> None:
    path = saved(_Of(lambda x: torch.cumsum(x, 1)), tmp_path / "net.xml")
    with pytest.raises(ConfigError, match=r"no counterpart of CumSum of OpenVINO; .*openvino\]'"):
        IrGraph(path)


def test_the_zoos_network_embeds_as_in_openvino(real_data: Path) -> None:
    path = real_data / "weights" / "omz-0277" / "person-reidentification-retail-0277.xml"
    images = np.random.default_rng(3).integers(0, 256, (2, 3, 256, 128)).astype(np.float32)
    with torch.inference_mode():
        own = IrGraph(path)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(own, open_openvino(path, (256, 128), None, 1)(images), atol=1e-4)


def test_flags_are_read_as_old_converters_wrote_them(tmp_path: Path) -> None:
    function = _Of(
        lambda x: nn.functional.avg_pool2d(x, 3, 2, 1).mean((2, 3), True) * x.mean((2, 3))[..., None, None]
    )
    path = saved(function, tmp_path / "net.xml")
    expected = both(path)[1]
    text = path.read_text()
    assert '"true"' in text
    assert '"false"' in text
    path.write_text(text.replace('"true"', '"True"').replace('"false"', '"False"'))
    np.testing.assert_allclose(both(path)[0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["Convolution", "AvgPool"])
def test_padding_that_follows_from_the_size_is_refused(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3, 2) if kind == "Convolution" else nn.AvgPool2d(3, 2)
    path = saved(layer, tmp_path / "net.xml")
    path.write_text(path.read_text().replace('auto_pad="explicit"', 'auto_pad="same_upper"'))
    with pytest.raises(ConfigError, match="auto_pad same_upper"):
        both(path)


def test_values_that_nothing_reads_any_more_are_dropped(tmp_path: Path) -> None:
    network = IrGraph(saved(build("osnet_x0_25", 2), tmp_path / "net.xml"))
    done = [name for names in network._done for name in names]
    assert len(done) == len(set(done)) > 100
    assert network._embedding not in done


def test_no_padding_by_another_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = saved(nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AvgPool2d(3, 2)), tmp_path / "net.xml")
    expected = both(path)[1]
    path.write_text(path.read_text().replace('auto_pad="explicit"', 'auto_pad="valid"'))
    own, theirs = both(path)
    np.testing.assert_allclose(own, theirs, atol=1e-5)
    np.testing.assert_allclose(own, expected, atol=1e-5)
