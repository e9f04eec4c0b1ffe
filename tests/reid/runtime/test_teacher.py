import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from safetensors.torch import save_file

from reid.config import TrialConfig
from reid.errors import ConfigError, ResourceError
from reid.models import build
from reid.runtime.foreign import options_beside
from reid.runtime.teacher import Teacher, check_teacher_file, live_teacher, open_teacher, teacher_files
from reid.train import embed
from reid.train.images import normalise_batch
from tests.contract.deployment import SPEC, people, tiny_artifact, tiny_network, torch_embeddings
from tests.reid.runtime.teachers import HEIGHT, WIDTH, channel_means, colours

PIXELS = {"height": HEIGHT, "width": WIDTH, "mean": [0, 0, 0], "std": [1 / 255] * 3, "embedding_dim": 3}
BGR = PIXELS | {"channel_order": "BGR"}


def with_spec(model: Path, spec: dict[str, Any] = BGR) -> Path:
    model.with_suffix(".input_spec.json").write_text(json.dumps(spec))
    return model


def unit(rows: NDArray[Any]) -> NDArray[np.float64]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def to_ir(model: Path, **options: Any) -> Path:
    """The IR of an ONNX file, made by OpenVINO itself."""
    openvino = pytest.importorskip("openvino", reason="openvino is not installed (an extra)")
    openvino.save_model(openvino.convert_model(model), model.with_suffix(".xml"), compress_to_fp16=False)
    return model.with_suffix(".xml")


@pytest.fixture(params=["onnx", "openvino"])
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Makes a foreign file of the parameter's kind out of the options of `channel_means`."""

    def make(spec: dict[str, Any] = BGR, **options: Any) -> Path:
        model = channel_means(tmp_path / "net.onnx", **options)
        return with_spec(to_ir(model) if request.param == "openvino" else model, spec)

    return make


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_channels_and_range_reach_the_network(foreign: Any, order: str) -> None:
    images = colours(5)
    teacher = open_teacher(foreign(PIXELS | {"channel_order": order}))
    means = images.astype(np.float64).mean(axis=(1, 2))
    np.testing.assert_allclose(
        teacher.network(teacher.spec.normalise(images)).reshape(5, 3),
        means if order == "RGB" else means[:, ::-1],
        rtol=1e-5,
    )
    expected = unit(means if order == "RGB" else means[:, ::-1])
    np.testing.assert_allclose(teacher.embed(images), expected, atol=1e-6)


def test_mean_and_std_are_those_of_the_networks_channels(foreign: Any) -> None:
    spec = BGR | {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.25, 1.0]}
    images = colours(4)
    blue_first = images.astype(np.float64).mean(axis=(1, 2))[:, ::-1] / 255
    expected = unit((blue_first - spec["mean"]) / spec["std"])
    np.testing.assert_allclose(open_teacher(foreign(spec)).embed(images), expected, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_number_of_images_is_filled_up(foreign: Any, batch: int) -> None:
    images = colours(6)
    expected = unit(images.astype(np.float64).mean(axis=(1, 2))[:, ::-1])
    np.testing.assert_allclose(open_teacher(foreign(batch=batch)).embed(images), expected, atol=1e-6)


def test_one_of_several_outputs_is_named(foreign: Any) -> None:
    images, model = colours(3), foreign(outputs=("first", "second"))
    with pytest.raises(ConfigError, match=r"several outputs \(first, second\); name one by the key output"):
        open_teacher(model)
    means = images.astype(np.float64).mean(axis=(1, 2))[:, ::-1]
    for shift, name in ((0, "first"), (7, "second")):
        rows = open_teacher(with_spec(model, BGR | {"output": name})).embed(images)
        np.testing.assert_allclose(rows, unit(means + shift), atol=1e-6)
    with pytest.raises(ConfigError, match="no output 'third'; known: first, second"):
        open_teacher(with_spec(model, BGR | {"output": "third"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (3, HEIGHT, 2 * WIDTH)}, r"takes float32 Nx3x32x32, .* float32 Nx3x32x16"),
        ({"inputs": 2}, r"has 2 inputs \(in0, in1\)"),
        ({"dtype": TensorProto.FLOAT16}, "takes float16"),
    ],
)
def test_files_that_do_not_fit_are_refused(foreign: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_teacher(foreign(**options))


def test_free_sizes_are_taken(foreign: Any) -> None:
    teacher = open_teacher(foreign(shape=(3, "height", "width")))
    assert teacher.embed(colours(2)).shape == (2, 3)


def test_a_wrong_width_is_found(foreign: Any) -> None:
    teacher = open_teacher(foreign(BGR | {"embedding_dim": 4}))
    with pytest.raises(ConfigError, match=r"gives \(2, 3.* says \(2, 4\); correct embedding_dim"):
        teacher.embed(colours(2))


def test_flip_adds_the_mirror_image() -> None:
    images = colours(3)
    left = Teacher(spec=_spec(), network=lambda x: x[:, :, 0, :3].reshape(len(x), -1), name="left")
    flipping = Teacher(spec=_spec(flip=True), network=left.network, name="left")
    expected = unit(left.embed(images) + left.embed(images[:, :, ::-1]))
    np.testing.assert_allclose(flipping.embed(images), expected, atol=1e-6)
    assert np.abs(flipping.embed(images) - left.embed(images)).max() > 1e-3


def test_numbers_that_are_none_are_refused() -> None:
    teacher = Teacher(spec=_spec(), network=lambda x: np.full((len(x), 9), np.nan, np.float32), name="nan")
    with pytest.raises(ConfigError, match="teacher nan gives NaN"):
        teacher.embed(colours(1))
    assert teacher.embed(colours(0)).shape == (0, 9)


def test_images_of_another_size_are_refused(foreign: Any) -> None:
    with pytest.raises(ConfigError, match=r"48x24 .*32x16"):
        open_teacher(foreign()).embed(people(2))


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_a_network_of_others_needs_a_specification(tmp_path: Path, suffix: str) -> None:
    model = channel_means(tmp_path / "net.onnx")
    path = model if suffix == ".onnx" else to_ir(model)
    with pytest.raises(
        ConfigError, match="needs an input specification; set teacher_spec to a file or one of: omz"
    ):
        open_teacher(path)
    with pytest.raises(ConfigError, match="needs an input specification"):
        check_teacher_file(path)


def test_openvino_agrees_with_onnxruntime_on_our_own_network(tmp_path: Path) -> None:
    own = tiny_artifact(tmp_path).path
    session = onnxruntime.InferenceSession(own, providers=["CPUExecutionProvider"])
    images = people(7)
    expected = session.run(["embedding"], {"images": SPEC.normalise(images)})[0]
    with_spec(to_ir(own), SPEC.to_dict())
    np.testing.assert_allclose(open_teacher(own.with_suffix(".xml")).embed(images), expected, atol=2e-6)


@pytest.mark.parametrize("place", ["", "model.onnx"])
def test_our_own_file_needs_no_specification(tmp_path: Path, place: str) -> None:
    tiny_artifact(tmp_path)
    images = people(4)
    teacher = open_teacher(tmp_path / place)
    np.testing.assert_allclose(teacher.embed(images), torch_embeddings(tiny_network(), images), atol=1e-5)
    assert teacher_files(tmp_path / place) == (tmp_path / "model.onnx",)


@pytest.mark.parametrize("size", [None, (64, 32)])
def test_a_state_dict_is_embedded_by_torch(tmp_path: Path, size: tuple[int, int] | None) -> None:
    network = build("osnet_x0_25", 3).eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    if size:
        spec = SPEC.to_dict() | {"height": size[0], "width": size[1], "embedding_dim": network.embedding_dim}
        with_spec(tmp_path / "net.pth", spec)
    teacher = open_teacher(tmp_path / "net.pth", backbone="osnet_x0_25")
    assert teacher.input_size == (size or (256, 128))
    images = people(2, *teacher.input_size)
    np.testing.assert_allclose(teacher.embed(images), torch_embeddings(network, images), atol=1e-5)


def test_a_state_dict_with_another_head_is_no_teacher(tmp_path: Path) -> None:
    torch.save(build("resnet18", 3, head="linear").state_dict(), tmp_path / "net.pth")
    with pytest.raises(
        ConfigError, match=r"teacher .*net\.pth: .*another head .* teacher_options .* \{head: linear\}"
    ):
        open_teacher(tmp_path / "net.pth", backbone="resnet18")


@pytest.mark.parametrize("name", ["net.pth", "model.pth.tar", "model.pth.tar-60"])
def test_a_state_dict_is_embedded_with_the_options_it_is_given(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    network = build("resnet18", 3, last_stride=1, head="linear").eval()
    kept = {"epoch": 60, "rank1": np.float64(0.9), "mAP": np.float32(0.8)}  # as Torchreid keeps them
    torch.save({"state_dict": network.state_dict(), **kept}, tmp_path / name)
    options = {"last_stride": 1, "head": "linear"}
    check_teacher_file(tmp_path / name, backbone="resnet18", options=options)
    images = people(2, 256, 128)
    wanted = torch_embeddings(network, images)
    teacher = open_teacher(tmp_path / name, backbone="resnet18", options=options)
    np.testing.assert_allclose(teacher.embed(images), wanted, atol=1e-5)
    other = open_teacher(tmp_path / name, backbone="resnet18", options={"head": "linear"})
    assert np.abs(other.embed(images) - wanted).max() > 1e-3
    live = live_teacher(tmp_path / name, backbone="resnet18", options=options)
    with torch.no_grad():
        rows = live(normalise_batch(images)).numpy()
    both = unit(wanted + torch_embeddings(network, np.ascontiguousarray(images[:, :, ::-1])))
    np.testing.assert_allclose(rows, both, atol=1e-4)


def test_the_specification_of_a_numbered_checkpoint_has_no_number(tmp_path: Path) -> None:
    torch.save(build("osnet_x0_25", 3).state_dict(), tmp_path / "model.pth.tar-60")
    spec = SPEC.to_dict() | {"height": 64, "width": 32, "embedding_dim": 512}
    (tmp_path / "model.input_spec.json").write_text(json.dumps(spec))
    assert open_teacher(tmp_path / "model.pth.tar-60", backbone="osnet_x0_25").input_size == (64, 32)
    (tmp_path / "weights.tar").write_bytes(b"")
    with pytest.raises(ConfigError, match="of no known kind"):
        check_teacher_file(tmp_path / "weights.tar", backbone="osnet_x0_25")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"last_strid": 1}, "teacher_options: unknown network option 'last_strid'; did you mean last_stride"),
        ({"last_stride": 3}, "teacher_options: last_stride must be 1 or 2"),
        ({"width": "two"}, "teacher_options: width must be float, got 'two'"),
    ],
)
def test_wrong_options_are_refused_before_the_file_is_read(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "net.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match=message):
        check_teacher_file(tmp_path / "net.pth", backbone="resnet18", options=options)
    with pytest.raises(ConfigError, match="teacher_options: osnet_x0_25 does not offer last_stride"):
        check_teacher_file(tmp_path / "net.pth", backbone="osnet_x0_25", options={"last_stride": 1})
    with pytest.raises(ConfigError, match="teacher_options is for state dicts"):
        check_teacher_file(tiny_artifact(tmp_path).path, options={"last_stride": 1})


def test_backbone_and_state_dict_go_together(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match="is a state dict; set teacher_backbone"):
        check_teacher_file(tmp_path / "net.pth")
    with pytest.raises(ConfigError, match="teacher_backbone is for state dicts"):
        check_teacher_file(tiny_artifact(tmp_path).path, backbone="resnet18")
    with pytest.raises(ConfigError, match=r"unknown teacher_backbone 'resnet1'; did you mean resnet18\?"):
        check_teacher_file(tmp_path / "net.pth", backbone="resnet1")


def test_a_runs_weights_teach_as_the_run_trained_them(tmp_path: Path) -> None:
    options: dict[str, Any] = {"last_stride": 1, "pooling": "max"}
    torch.manual_seed(0)
    network = build("resnet18", 4, **options).eval()
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    images = people(2, 256, 128)
    run = TrialConfig(backbone="resnet18", **options).to_dict()
    for noted, expected in (
        (run, network),
        ({"model_type": "of others"}, build("resnet18", 1, weights=tmp_path / "model.safetensors")),
    ):
        (tmp_path / "config.json").write_text(json.dumps(noted))
        assert options_beside(tmp_path / "model.safetensors") == (options if noted is run else {})
        rows = open_teacher(tmp_path / "model.safetensors", backbone="resnet18").embed(images)
        np.testing.assert_allclose(rows, unit(embed(expected, images)), atol=1e-5)
    (tmp_path / "config.json").write_text(json.dumps(run | {"from_the_future": 1}))
    with pytest.raises(ConfigError, match=r"config\.json beside it: unknown setting 'from_the_future'"):
        open_teacher(tmp_path / "model.safetensors", backbone="resnet18")
    assert options_beside(tmp_path / "other.safetensors") == {}


@pytest.mark.parametrize("name", ["absent.onnx", "absent.xml", "net.txt", ""])
def test_files_of_no_known_kind_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "net.txt").write_text("")
    with pytest.raises(
        ConfigError, match=r"does not exist|of no known kind; known: \.onnx|folder without model"
    ):
        check_teacher_file(tmp_path / name)


def test_missing_weights_of_an_ir_are_named(tmp_path: Path) -> None:
    path = with_spec(to_ir(channel_means(tmp_path / "net.onnx")))
    assert teacher_files(path) == (path, path.with_suffix(".bin"))
    path.with_suffix(".bin").unlink()
    for refuse in (check_teacher_file, open_teacher):
        with pytest.raises(ConfigError, match=r"lacks its weights; put net\.bin beside it"):
            refuse(path)


@pytest.mark.parametrize("content", [b"", b"<net", b"<a/>", b"<net/>", b"<net><a/></net>", b"\x00" * 64])
def test_damaged_files_are_refused_in_one_line(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    kinds = [".onnx"] if not _has_openvino() else [".onnx", ".xml"]
    for suffix in kinds:
        path = with_spec(tmp_path / f"net{suffix}")
        path.write_bytes(content)
        (tmp_path / "net.bin").write_bytes(b"")
        with pytest.raises(ConfigError) as caught:
            open_teacher(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error")])
def test_what_lies_in_the_machine_is_no_fault_of_the_file(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ConfigError would be remembered by the cache of stages."""

    def fail(*_: object, **__: object) -> None:
        raise error

    path = with_spec(channel_means(tmp_path / "net.onnx"))
    monkeypatch.setattr("reid.runtime.foreign.onnxruntime.InferenceSession", fail)
    with pytest.raises(ResourceError, match="cannot be opened now"):
        open_teacher(path)


def test_torn_weights_of_an_ir_are_refused(tmp_path: Path) -> None:
    path = with_spec(to_ir(channel_means(tmp_path / "net.onnx", outputs=("a", "b"))), BGR | {"output": "b"})
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be opened") as caught:
        open_teacher(path)
    assert "\n" not in str(caught.value)


def test_without_openvino_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_spec(tmp_path / "net.xml")
    path.write_text(
        '<net><layers><layer id="0" name="x" type="Parameter"><output><port id="0"/></output></layer>'
        '<layer id="1" name="y" type="CumSum"><input><port id="0"/></input><output><port id="1"/></output></layer>'
        '<layer id="2" name="z" type="Result"><input><port id="0"/></input></layer></layers><edges>'
        '<edge from-layer="0" from-port="0" to-layer="1" to-port="0"/>'
        '<edge from-layer="1" from-port="1" to-layer="2" to-port="0"/></edges></net>'
    )
    path.with_suffix(".bin").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr("reid.runtime.teacher.find_module", lambda name: None)
    for refuse in (check_teacher_file, open_teacher):
        with pytest.raises(ConfigError, match=r"OpenVINO.*pip install .*'\.\[openvino\]'"):
            refuse(path)


def test_without_openvino_torch_reads_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tiny_artifact(tmp_path).path
    path = with_spec(to_ir(own), SPEC.to_dict())
    images = people(5)
    expected = open_teacher(path).embed(images)
    monkeypatch.setattr("reid.runtime.teacher.find_module", lambda name: None)
    monkeypatch.setitem(sys.modules, "openvino", None)
    check_teacher_file(path)
    np.testing.assert_allclose(open_teacher(path).embed(images), expected, atol=2e-6)


def test_the_zoos_network_embeds_a_person(real_data: Path) -> None:
    folder = real_data / "weights" / "omz-0277"
    openvino = pytest.importorskip("openvino", reason="openvino is not installed (an extra)")
    path = folder / "person-reidentification-retail-0277.xml"
    images = people(3, 256, 128)
    rows = open_teacher(path, spec="omz").embed(images)
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    blue_first = images[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    expected = np.concatenate([compiled(image[None])[0] for image in blue_first])
    np.testing.assert_allclose(rows, unit(expected), atol=2e-6)


def _spec(**change: Any) -> Any:
    from reid.runtime.teacher_spec import TeacherSpec

    return TeacherSpec.from_dict(PIXELS | {"embedding_dim": 9} | change)


def _has_openvino() -> bool:
    try:
        import_module("openvino")
    except ImportError:
        return False
    return True
