"""Teachers that see the student's batches, beside the same teachers as functions of images."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from reid.errors import ConfigError
from reid.models import build
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


def test_on_a_gpu_a_teacher_runs_in_torch_and_else_in_its_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_artifact(tmp_path).path
    images = people(3)
    expected = torch_embeddings(tiny_network(), images)

    def no_runtime(*_: object) -> None:
        raise AssertionError("opened on the CPU")

    with monkeypatch.context() as patched:
        patched.setattr("reid.runtime.teacher.open_onnx", no_runtime)
        # Any name but "cpu" asks for torch; here it has a CPU only, by its other name.
        np.testing.assert_allclose(open_teacher(path, device="cpu:0").embed(images), expected, atol=1e-5)
    foreign = onnx.load(path)
    foreign.graph.node[0].op_type = "Relu6"
    onnx.save(foreign, tmp_path / "strange.onnx")
    with pytest.raises(ConfigError, match=r"strange\.onnx"):
        open_teacher(tmp_path / "strange.onnx", device="cpu:0")


def test_what_torch_cannot_compute_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tiny_artifact(tmp_path).path
    model = onnx.load(path)
    model.graph.node[0].op_type = "Cosh"
    onnx.save(model, path)
    with pytest.raises(ConfigError, match=r"model\.onnx cannot be computed by torch: .*Cosh") as caught:
        live_teacher(path)
    assert "\n" not in str(caught.value)


def test_a_network_in_training_mode_is_put_to_work(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("osnet_x0_25", 3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    spec = open_teacher(*_state_dict(tmp_path)[:1], backbone="osnet_x0_25").spec
    TorchTeacher(network, spec)(normalise_batch(people(2, 64, 32)))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
