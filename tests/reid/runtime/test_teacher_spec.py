import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.errors import ConfigError
from reid.runtime.teacher_spec import TEACHER_SPECS, TeacherSpec, find_spec, own_spec
from tests.contract.deployment import SPEC, people

BGR = SPEC.to_dict() | {"channel_order": "BGR", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}


@given(
    order=st.sampled_from(["RGB", "BGR"]),
    mean=st.tuples(*[st.floats(-2, 2)] * 3),
    output=st.none() | st.text(min_size=1),
    flip=st.booleans(),
)
def test_survives_json(order: str, mean: tuple[float, ...], output: str | None, flip: bool) -> None:
    values = SPEC.to_dict() | {"channel_order": order, "mean": list(mean), "flip": flip}
    spec = TeacherSpec.from_dict(values if output is None else values | {"output": output})
    assert TeacherSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert spec.to_dict()["mean"] == list(mean)


def test_bgr_is_what_reversing_the_image_first_gives() -> None:
    images = people(3)
    planes = TeacherSpec.from_dict(BGR).normalise(images)
    blue_first = images[..., ::-1].astype(np.float64) / 255
    expected = (blue_first - BGR["mean"]) / BGR["std"]
    np.testing.assert_allclose(planes, expected.transpose(0, 3, 1, 2), atol=1e-6)
    assert planes.flags.c_contiguous


def test_omz_passes_whole_pixels_blue_first() -> None:
    spec = TEACHER_SPECS["omz"]
    levels = np.arange(256 * 128 * 3, dtype=np.int64).reshape(1, 256, 128, 3) % 256
    planes = spec.normalise(levels.astype(np.uint8))
    np.testing.assert_array_equal(planes, levels[..., ::-1].transpose(0, 3, 1, 2))


def test_own_networks_are_rgb() -> None:
    spec = own_spec(48, 24, 24)
    np.testing.assert_array_equal(spec.normalise(people(2)), SPEC.normalise(people(2)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_order": "GBR"}, "channel_order of the input specification must be RGB"),
        ({"channel_order": 3}, "channel_order"),
        ({"mean": [0.5]}, "mean of the input specification must be three"),
        ({"std": [1, 1, 0]}, "std"),
        ({"output": 3}, "output of the input specification must be a name, got 3"),
        ({"heigth": 3}, "did you mean height"),
        ({"schema": 9}, "schema 9"),
    ],
)
def test_wrong_values_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TeacherSpec.from_dict(BGR | change)


def test_needs_no_more_than_size_range_and_width() -> None:
    few = {"height": 48, "width": 24, "mean": [0, 0, 0], "std": [1, 1, 1], "embedding_dim": 5}
    assert TeacherSpec.from_dict(few).channel_order == "RGB"
    with pytest.raises(ConfigError, match="lacks embedding_dim"):
        TeacherSpec.from_dict({name: few[name] for name in few if name != "embedding_dim"})


@pytest.mark.parametrize("name", ["net.input_spec.json", "input_spec.json"])
def test_found_beside_the_model(tmp_path: Path, name: str) -> None:
    assert find_spec(tmp_path / "net.onnx", None) is None
    (tmp_path / name).write_text(json.dumps(BGR))
    assert find_spec(tmp_path / "net.onnx", None) == TeacherSpec.from_dict(BGR)


def test_a_named_one_goes_before_one_beside(tmp_path: Path) -> None:
    (tmp_path / "net.input_spec.json").write_text("{}")
    (tmp_path / "other.yaml").write_text(
        "{height: 64, width: 32, channel_order: BGR, mean: [0, 0, 0], std: [1, 1, 1], embedding_dim: 4}"
    )
    found = find_spec(tmp_path / "net.onnx", str(tmp_path / "other.yaml"))
    assert found is not None
    assert (found.images.height, found.channel_order) == (64, "BGR")
    assert find_spec(tmp_path / "net.onnx", "omz") is TEACHER_SPECS["omz"]


def test_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown teacher_spec 'omx'; did you mean omz\?"):
        find_spec(tmp_path / "net.onnx", "omx")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file"),
        ("{", "cannot be read"),
        ("[]", "must hold keys"),
        ('{"height": 48}', "lacks schema|lacks width"),
    ],
)
def test_damaged_files_are_named_in_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "spec.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        find_spec(tmp_path / "net.onnx", str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
