from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from reid.errors import ArtifactError, UnverifiedError
from reid.runtime.inspection import inspect
from tests.contract.deployment import SPEC, tiny_artifact


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny_artifact(tmp_path).path


def rewrite(path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())


def refusal(path: Path) -> str:
    with pytest.raises(UnverifiedError) as caught:
        inspect(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_our_file_passes(path: Path) -> None:
    found = inspect(path)
    assert (found.content, found.spec, found.scheme) == (path.read_bytes(), SPEC, "fp32")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"hello world", b"PK\x03\x04" * 9, b"{}"])
def test_other_formats_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "no ONNX file" in refusal(path)


def test_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot read .*directory"):
        inspect(tmp_path)


def test_external_data_is_refused_before_it_is_read(path: Path) -> None:
    def point_outside(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")

    rewrite(path, point_outside)
    assert "external data" in refusal(path)


def test_external_data_of_a_constant_inside_a_branch_is_refused(path: Path) -> None:
    def hide(model: onnx.ModelProto) -> None:
        outside = numpy_helper.from_array(np.zeros(3, np.float32), "outside")
        outside.data_location = onnx.TensorProto.EXTERNAL
        inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=outside)], "inner", [], [])
        model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))

    rewrite(path, hide)
    assert "external data" in refusal(path)


def test_custom_operators_are_refused(path: Path) -> None:
    rewrite(path, lambda model: model.graph.node[0].MergeFrom(onnx.NodeProto(domain="org.evil")))
    assert "custom operator org.evil.Conv" in refusal(path)


def test_custom_operators_inside_a_branch_are_refused(path: Path) -> None:
    def hide(model: onnx.ModelProto) -> None:
        inner = helper.make_graph([helper.make_node("Run", [], ["c"], domain="org.evil")], "inner", [], [])
        model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))

    rewrite(path, hide)
    assert "custom operator org.evil.Run" in refusal(path)


def test_functions_are_refused(path: Path) -> None:
    function = helper.make_function("own", "Trick", ["x"], ["x"], [], [helper.make_opsetid("", 18)])
    rewrite(path, lambda model: model.functions.append(function))
    assert "functions of its own (Trick)" in refusal(path)


def test_file_without_input_specification_is_refused(path: Path) -> None:
    rewrite(path, lambda model: model.ClearField("metadata_props"))
    assert "holds no input specification" in refusal(path)


@pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"schema": 1}', '{"schema": 1, "high": 3}'])
def test_malformed_input_specification_is_refused(path: Path, text: str) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        next(p for p in model.metadata_props if p.key == "reid_pareto.input_spec").value = text

    rewrite(path, spoil)
    assert "malformed input specification" in refusal(path)


def test_an_input_specification_without_an_end_is_refused(path: Path) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        next(p for p in model.metadata_props if p.key == "reid_pareto.input_spec").value = "[" * 100_000

    rewrite(path, spoil)
    assert "malformed input specification" in refusal(path)


def test_graph_that_contradicts_its_specification_is_refused(path: Path) -> None:
    def shrink(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32

    rewrite(path, shrink)
    assert "('images', 'float', [3, 32, 24])" in refusal(path)


def test_fixed_number_of_images_is_refused(path: Path) -> None:
    def fix(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1

    rewrite(path, fix)
    assert "inputs and outputs" in refusal(path)


def test_other_names_are_refused(path: Path) -> None:
    rewrite(path, lambda model: setattr(model.graph.input[0], "name", "pixels"))
    assert "('pixels'" in refusal(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), noise=st.binary(min_size=1, max_size=12))
def test_damaged_bytes_never_raise_anything_else(path: Path, place: float, noise: bytes) -> None:
    content = bytearray(path.read_bytes())
    start = int(place * len(content))
    content[start : start + len(noise)] = noise
    damaged = path.with_name("damaged.onnx")
    damaged.write_bytes(content)
    try:
        found = inspect(damaged)
    except ArtifactError:
        return
    assert found.spec.embedding_dim == SPEC.embedding_dim
