"""Shortened files compute the same and hold equal constants once."""

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from reid.quantize.compact import compact
from tests.reid.quantize.graphs import chain_with_gate


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    images = np.random.default_rng(0).random((2, 4, 3, 3), dtype=np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"images": images}))


def with_equal_biases() -> onnx.ModelProto:
    model = chain_with_gate()
    first, *others = [tensor for tensor in model.graph.initializer if tensor.name.endswith(".bias")]
    for tensor in others:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first), tensor.name))
    return model


def test_equal_constants_are_stored_once() -> None:
    model = with_equal_biases()
    wanted, before = run(model), len(model.graph.initializer)
    compact(model)
    onnx.checker.check_model(model, full_check=True)
    names = [tensor.name for tensor in model.graph.initializer]
    assert len(names) == len(set(names)) == before - 3
    np.testing.assert_array_equal(run(model), wanted)


def test_equal_bytes_of_another_shape_or_type_stay_apart() -> None:
    model = chain_with_gate()
    zeros = [
        np.zeros(4, np.float32),
        np.zeros((4, 1), np.float32),
        np.zeros(4, np.int32),
        np.zeros(4, np.float32),
    ]
    for number, array in enumerate(zeros):
        model.graph.initializer.append(numpy_helper.from_array(array, f"zeros{number}"))
        model.graph.node.append(helper.make_node("Identity", [f"zeros{number}"], [f"same{number}"]))
    before = len(model.graph.initializer)
    compact(model)
    assert len(model.graph.initializer) == before - 1
    onnx.checker.check_model(model, full_check=True)


def test_a_constant_that_is_an_output_keeps_its_name() -> None:
    model = with_equal_biases()
    given = next(tensor.name for tensor in model.graph.initializer if tensor.name.endswith("gate.bias"))
    model.graph.output.append(helper.make_tensor_value_info(given, onnx.TensorProto.FLOAT, [4]))
    wanted = run(model)
    compact(model)
    for found, expected in zip(run(model), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
