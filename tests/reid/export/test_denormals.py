"""Tiny weights become zero, and nothing else changes."""

import numpy as np
import onnx
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from reid.export.denormals import TINY, flush_tiny

SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def model(*tensors: onnx.TensorProto) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph([], "weights", [], [], list(tensors)))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_exactly_the_tiny_values_become_zero(values: list[float]) -> None:
    given_ = np.array(values, dtype=np.float32)
    network = model(numpy_helper.from_array(given_, "w"))
    flushed = flush_tiny(network)
    found = numpy_helper.to_array(network.graph.initializer[0])
    expected = [0.0 if abs(v) < TINY else v for v in given_.tolist()]
    assert found.tolist() == expected
    assert flushed == sum(v != 0 and abs(v) < TINY for v in given_.tolist())


def test_products_of_what_stays_are_normal_numbers() -> None:
    assert TINY * TINY >= SMALLEST_NORMAL
    assert np.nextafter(np.float32(TINY), np.float32(0)) ** 2 < SMALLEST_NORMAL


def test_other_types_and_whole_weights_stay_byte_for_byte() -> None:
    tensors = (
        numpy_helper.from_array(np.array([1e-30, 1.0]), "double"),
        helper.make_tensor("int", TensorProto.INT64, [2], [0, 1]),
        numpy_helper.from_array(np.array([[0.5, -0.0]], dtype=np.float32), "whole"),
    )
    network = model(*tensors)
    before = network.SerializeToString(deterministic=True)
    assert flush_tiny(network) == 0
    assert network.SerializeToString(deterministic=True) == before
