"""Operators whose optional inputs are left out, against ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from reid.runtime.torch_graph import TorchGraph

BOUNDS = {
    "least": np.float32(-1),
    "most": np.float32(6),
    "starts": np.array([1], np.int64),
    "ends": np.array([7], np.int64),
    "steps": np.array([2], np.int64),
    "axes": np.array([0], np.int64),
}


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        ("Clip", ["images", "", "most"]),
        ("Clip", ["images", "least"]),
        ("Clip", ["images", "least", ""]),
        ("Clip", ["images", "least", "most"]),
        ("Clip", ["images"]),
        ("Slice", ["images", "starts", "ends", "", "steps"]),
        ("Slice", ["images", "starts", "ends", "axes", "steps"]),
        ("Slice", ["images", "starts", "ends"]),
    ],
)
def test_an_input_left_out_keeps_the_place_of_those_after_it(kind: str, inputs: list[str]) -> None:
    values = (np.random.default_rng(0).standard_normal((8, 5)) * 9).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["embedding"], name="one")],
        "one",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["a", "b"])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["c", "d"])],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in BOUNDS.items()
            if name in inputs
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"images": values})[0]
    onnx.checker.check_model(model)
    np.testing.assert_array_equal(TorchGraph(model)(torch.from_numpy(values)).numpy(), expected)
