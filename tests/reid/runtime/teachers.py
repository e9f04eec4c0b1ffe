"""Networks of others, made here: their output tells what they were given."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

HEIGHT, WIDTH = 32, 16


def channel_means(
    path: Path,
    *,
    batch: int | str = "N",
    shape: tuple[Any, ...] = (3, HEIGHT, WIDTH),
    inputs: int = 1,
    outputs: tuple[str, ...] = ("means",),
    dtype: int = TensorProto.FLOAT,
) -> Path:
    """An ONNX file that gives the mean of each input channel, (N, 3, 1, 1), under each of the names."""
    images = [helper.make_tensor_value_info(f"in{n}", dtype, [batch, *shape]) for n in range(inputs)]
    results = [helper.make_tensor_value_info(name, dtype, [batch, 3, 1, 1]) for name in outputs]
    nodes = [helper.make_node("GlobalAveragePool", ["in0"], ["pooled"])]
    # Several outputs differ, so that taking the wrong one shows.
    for number, name in enumerate(outputs):
        nodes += [
            helper.make_node("Constant", [], [f"shift{number}"], value=_vector(dtype, number)),
            helper.make_node("Add", ["pooled", f"shift{number}"], [name]),
        ]
    model = helper.make_model(
        helper.make_graph(nodes, "means", images, results),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(model, path)
    return path


def colours(count: int, seed: int = 0) -> np.ndarray:
    """(N, HEIGHT, WIDTH, 3) uint8 RGB, each image of one colour with a brighter left half."""
    rng = np.random.default_rng(seed)
    images = np.repeat(np.repeat(rng.integers(0, 200, (count, 1, 1, 3)), HEIGHT, 1), WIDTH, 2)
    images[:, :, : WIDTH // 2] += 40
    return images.astype(np.uint8)


def _vector(dtype: int, value: int) -> onnx.TensorProto:
    numbers = np.full((1, 3, 1, 1), 7.0 * value, helper.tensor_dtype_to_np_dtype(dtype))
    return onnx.numpy_helper.from_array(numbers)
