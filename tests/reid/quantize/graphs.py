"""Small ONNX graphs with known structure, and what ONNX Runtime makes of a graph."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def chain_with_gate() -> onnx.ModelProto:
    """first → ReLU → (second, gate → sigmoid) → product → last, all 1x1 convolutions of 4 channels."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []

    def conv(name: str, source: str, target: str) -> None:
        values = rng.normal(0, 1, (4, 4, 1, 1)) * rng.uniform(0.1, 5, (4, 1, 1, 1))
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"network.{name}.weight"))
        bias = rng.normal(0, 1, 4).astype(np.float32)
        weights.append(numpy_helper.from_array(bias, f"network.{name}.bias"))
        inputs = [source, f"network.{name}.weight", f"network.{name}.bias"]
        nodes.append(helper.make_node("Conv", inputs, [target], name=f"conv_{name}", kernel_shape=[1, 1]))

    conv("first", "images", "first_out")
    nodes.append(helper.make_node("Relu", ["first_out"], ["relu_out"], name="relu"))
    conv("second", "relu_out", "second_out")
    conv("gate", "relu_out", "gate_out")
    nodes.append(helper.make_node("Sigmoid", ["gate_out"], ["sigmoid_out"], name="sigmoid"))
    nodes.append(helper.make_node("Mul", ["second_out", "sigmoid_out"], ["product"], name="join"))
    conv("last", "product", "embedding")
    shape = ["batch", 4, 3, 3]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, shape)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def optimised(path: Path, folder: Path) -> Counter[str]:
    """Kinds of nodes that ONNX Runtime really runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
