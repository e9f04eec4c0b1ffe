"""Teachers that see the student's batches, beside the same teachers as functions of images."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from reid.errors import ConfigError
from reid.models import build
from reid.quantize import quantize
from reid.runtime.foreign import Network, as_function, open_onnx
from reid.runtime.teacher import Teacher, live_teacher, open_teacher
from reid.runtime.torch_teacher import TorchTeacher
from reid.train import normalise_batch
from tests.contract.deployment import SPEC, people, tiny_artifact, tiny_network, torch_embeddings
from tests.reid.runtime.teachers import HEIGHT, WIDTH, channel_means, colours


def both_ways(teacher: Teacher, images: np.ndarray) -> np.ndarray:
    rows = teacher.embed(images) + teacher.embed(np.ascontiguousarray(images[:, :, ::-1]))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_foreign_pixels_reach_the_network_as_from_images(tmp_path: Path, order: str) -> None:
    spec = {"height": HEIGHT, "width": WIDTH, "mean": [10, 20, 30], "std": [0.5, 0.25, 1], "embedding_dim": 3}
    model = channel_means(tmp_path / "net.onnx", outputs=("a", "b"))
    model.with_suffix(".input_spec.json").write_text(
        json.dumps(spec | {"channel_order": order, "output": "b"})
    )
    images = colours(5)
    rows = live_teacher(model)(normalise_batch(images))
    np.testing.assert_allclose(rows.numpy(), both_ways(open_teacher(model), images), atol=1e-5)


def _own_onnx(folder: Path) -> tuple[Path, None]:
    return tiny_artifact(folder).path, None


def _own_ir(folder: Path) -> tuple[Path, None]:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed (an extra)")
    model, path = tiny_artifact(folder).path, folder / "net.xml"
    openvino.save_model(openvino.convert_model(model), path, compress_to_fp16=False)
    path.with_suffix(".input_spec.json").write_text(json.dumps(SPEC.to_dict()))
    return path, None


def _state_dict(folder: Path) -> tuple[Path, str]:
    torch.manual_seed(0)
    torch.save(build("osnet_x0_25", 3).state_dict(), folder / "net.pth")
    return folder / "net.pth", "osnet_x0_25"


@pytest.mark.parametrize("make", [_own_onnx, _own_ir, _state_dict])
def test_embeds_as_its_runtime_does(make: Callable[[Path], tuple[Path, str | None]], tmp_path: Path) -> None:
    path, backbone = make(tmp_path)
    teacher = open_teacher(path, backbone=backbone)
    images = people(3, *teacher.input_size)
    live = live_teacher(path, backbone=backbone)
    rows = live(normalise_batch(images))
    assert not rows.requires_grad
    assert not live.training
    assert all(not one.requires_grad for one in live.parameters())
    np.testing.assert_allclose(rows.numpy(), both_ways(teacher, images), atol=1e-5)


def test_batches_of_another_size_are_resized(tmp_path: Path) -> None:
    tiny_artifact(tmp_path)
    images = people(4, 2 * SPEC.height, 2 * SPEC.width)
    smaller = np.stack(
        [
            np.asarray(Image.fromarray(i).resize((SPEC.width, SPEC.height), Image.Resampling.BILINEAR))
            for i in images
        ]
    )
    rows = live_teacher(tmp_path)(normalise_batch(images)).numpy()
    cosines = (rows * both_ways(open_teacher(tmp_path), smaller)).sum(1)
    assert cosines.min() > 0.999  # Pillow rounds to whole pixel values


def test_on_a_gpu_a_teacher_runs_in_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_artifact(tmp_path).path
    images = people(3)
    expected = torch_embeddings(tiny_network(), images)
    seen: list[str] = []

    def watched(network: nn.Module, device: str) -> Network:
        seen.append(device)
        return as_function(network, device)

    monkeypatch.setattr("reid.runtime.teacher.as_function", watched)
    # Any name but "cpu" asks for torch; here it has a CPU only, by its other name.
    np.testing.assert_allclose(open_teacher(path, device="cpu:0").embed(images), expected, atol=1e-5)
    assert seen == ["cpu:0"]


def _graph(
    path: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], batch: int | str = "N"
) -> Path:
    """An ONNX file of images 32 x 16 that no exporter of ours would write, with its specification."""
    stored = [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()]
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("in", [batch, 3, HEIGHT, WIDTH]), ("out", None))
    ]
    graph = onnx.helper.make_graph(nodes, "graph", ports[:1], ports[1:], stored)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    spec = {"height": HEIGHT, "width": WIDTH, "mean": [0, 0, 0], "std": [1, 1, 1]}
    with_width = {**spec, "embedding_dim": open_onnx(path, (HEIGHT, WIDTH), None, 1)(_planes(1)).size}
    path.with_suffix(".input_spec.json").write_text(json.dumps(with_width))
    return path


def _planes(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 3, HEIGHT, WIDTH), dtype=np.float32)


_WEIGHT = {"w": np.random.default_rng(2).normal(size=(4, 3, 3, 3)).astype(np.float32)}
_POOLED = [onnx.helper.make_node("GlobalAveragePool", ["c"], ["out"])]


@pytest.mark.parametrize(
    ("nodes", "constants", "batch"),
    [
        ([onnx.helper.make_node("Cosh", ["in"], ["c"]), *_POOLED], {}, "N"),
        (
            [
                onnx.helper.make_node("Conv", ["in", "w"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
                *_POOLED,
            ],
            _WEIGHT,
            "N",
        ),
        (
            [
                onnx.helper.make_node("GlobalAveragePool", ["in"], ["c"]),
                onnx.helper.make_node("Reshape", ["c", "s"], ["out"]),
            ],
            {"s": np.array([1, -1], dtype=np.int64)},
            1,
        ),
        (
            [
                onnx.helper.make_node("QuantizeLinear", ["w", "scales", "zeros"], ["q"], axis=0),
                onnx.helper.make_node("DequantizeLinear", ["q", "scales", "zeros"], ["f"], axis=0),
                onnx.helper.make_node("Conv", ["in", "f"], ["c"]),
                *_POOLED,
            ],
            {**_WEIGHT, "scales": np.full(4, 0.1, np.float32), "zeros": np.zeros(4, np.int8)},
            "N",
        ),
    ],
    ids=["operator", "padding", "fixed batch", "grids of channels"],
)
def test_what_torch_cannot_compute_runs_on_the_cpu_and_cannot_look_on(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], batch: int | str, tmp_path: Path
) -> None:
    path = _graph(tmp_path / "strange.onnx", nodes, constants, batch)
    images = colours(3)
    np.testing.assert_array_equal(
        open_teacher(path, device="cpu:0").embed(images), open_teacher(path).embed(images)
    )
    with pytest.raises(
        ConfigError, match=r"strange\.onnx cannot be computed by torch \(.*teacher_view at plain"
    ) as caught:
        live_teacher(path)
    assert "\n" not in str(caught.value)


def test_an_int8_file_teaches_from_its_runtime_only(tmp_path: Path) -> None:
    source = tiny_artifact(tmp_path)
    (tmp_path / "int8").mkdir()
    images = people(8)
    path = quantize(source, "int8-static", images, tmp_path / "int8" / "model.onnx").path
    expected = open_teacher(path).embed(images)
    np.testing.assert_array_equal(open_teacher(path, device="cpu:0").embed(images), expected)
    with pytest.raises(ConfigError, match=r"cannot be computed by torch .*integers"):
        live_teacher(path)


def test_contradictions_of_the_specification_are_refused_as_on_the_cpu(tmp_path: Path) -> None:
    model = channel_means(tmp_path / "net.onnx", outputs=("a", "b"))
    spec = {"height": HEIGHT, "width": WIDTH, "mean": [0, 0, 0], "std": [1, 1, 1], "embedding_dim": 3}
    for wrong, message in (
        ({}, "several outputs"),
        ({"output": "b", "height": 64}, "takes float32 .* but its specification says"),
        ({"output": "b", "embedding_dim": 4}, r"it gives \(2, 3\) for 2 images"),
    ):
        model.with_suffix(".input_spec.json").write_text(json.dumps(spec | wrong))
        with pytest.raises(ConfigError, match=message):
            live_teacher(model)


def test_a_network_in_training_mode_is_put_to_work(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("osnet_x0_25", 3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    spec = open_teacher(*_state_dict(tmp_path)[:1], backbone="osnet_x0_25").spec
    TorchTeacher(network, spec)(normalise_batch(people(2, 64, 32)))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
