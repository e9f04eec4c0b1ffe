"""Batch normalisation before convolutions, and concatenations: what stands in a quantized file of a dense block."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from reid.config import TrialConfig
from reid.export import MODEL_FILE, InputSpec
from reid.quantize import QuantizationSettings
from reid.quantize.norms import norms_to_convolutions
from reid.quantize.precisions import layer_precisions
from reid.quantize.ranges import calibrate_file
from reid.steps.qat import settings_of
from tests.reid.quantize.graphs import optimised

SIZE, CHANNELS, GROWTH = (32, 16), 8, 4
SPEC = InputSpec(height=SIZE[0], width=SIZE[1], mean=(0.5,) * 3, std=(0.25,) * 3, embedding_dim=CHANNELS)


class Block:
    """A dense block: stem → ReLU, then twice norm → ReLU → convolution, each joined to all that came before."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.values: dict[str, NDArray[np.float32]] = {}

    def constant(self, name: str, values: NDArray[np.float64]) -> str:
        self.values[name] = values.astype(np.float32)
        return name

    def conv(self, layer: str, source: str, into: int, out: int) -> str:
        weight = self.constant(f"network.{layer}.weight", self.random.normal(0, 0.4, (out, into, 1, 1)))
        bias = self.constant(f"network.{layer}.bias", self.random.normal(0, 0.1, out))
        self.add("Conv", [source, weight, bias], layer)
        return layer

    def norm(self, layer: str, source: str, channels: int) -> str:
        scale = self.constant(f"network.{layer}.weight", self.random.uniform(-1.5, 1.5, channels))
        shift = self.constant(f"network.{layer}.bias", self.random.normal(0, 0.5, channels))
        mean = self.constant(f"network.{layer}.running_mean", self.random.normal(0, 0.5, channels))
        variance = self.constant(f"network.{layer}.running_var", self.random.uniform(0.5, 2, channels))
        self.add("BatchNormalization", [source, scale, shift, mean, variance], layer, epsilon=1e-3)
        return layer

    def add(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def model(self) -> onnx.ModelProto:
        joined, channels = self.add("Relu", [self.conv("stem", "images", 3, CHANNELS)], "stem_relu"), CHANNELS
        for number in (1, 2):
            relu = self.add("Relu", [self.norm(f"norm{number}", joined, channels)], f"relu{number}")
            more = self.conv(f"conv{number}", relu, channels, GROWTH)
            joined = self.add("Concat", [joined, more], f"joined{number}", axis=1)
            channels += GROWTH
        last = self.conv("last", joined, channels, CHANNELS)
        self.add("GlobalAveragePool", [self.norm("tail", last, CHANNELS)], "pooled")
        self.add("Flatten", ["pooled"], "embedding")
        graph = helper.make_graph(
            self.nodes,
            "block",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, *SIZE])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", CHANNELS])],
            [numpy_helper.from_array(array, name) for name, array in self.values.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = {"images": SPEC.normalise(images)}
    return np.asarray(session.run(None, given)[0], np.float32)


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (8, *SIZE, 3), dtype=np.uint8)


def test_norms_before_convolutions_become_convolutions_that_compute_the_same(
    images: NDArray[np.uint8],
) -> None:
    model = Block().model()
    wanted = run(model, images)
    assert norms_to_convolutions(model) == 2
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(run(model, images), wanted, rtol=1e-4, atol=1e-5)
    kinds = {node.name: node.op_type for node in model.graph.node}
    # The last is in the float tail: no convolution follows.
    assert [kinds[f"node_{name}"] for name in ("norm1", "norm2", "tail")] == [
        "Conv",
        "Conv",
        "BatchNormalization",
    ]
    assert norms_to_convolutions(model) == 0


def test_equal_norms_that_are_stored_once_stay_apart(images: NDArray[np.uint8]) -> None:
    block = Block()
    model = block.model()
    reader = next(node for node in model.graph.node if node.name == "node_tail")
    first = next(node for node in model.graph.node if node.name == "node_norm1")
    reader.input[1:] = first.input[1:]
    wanted = run(model, images)
    assert norms_to_convolutions(model) == 2
    np.testing.assert_allclose(run(model, images), wanted, rtol=1e-4, atol=1e-5)


def test_an_equal_bias_that_is_stored_once_stays_with_its_other_reader(images: NDArray[np.uint8]) -> None:
    model = Block().model()
    reader = next(node for node in model.graph.node if node.name == "node_tail")
    reader.input[2] = "network.norm1.bias"
    wanted = run(model, images)
    assert norms_to_convolutions(model) == 2
    np.testing.assert_allclose(run(model, images), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spoil", ["read elsewhere", "given"])
def test_a_norm_whose_values_are_needed_elsewhere_stays(spoil: str) -> None:
    model = Block().model()
    if spoil == "given":
        model.graph.output.append(helper.make_tensor_value_info("relu1", TensorProto.FLOAT, None))
    else:
        model.graph.node.append(helper.make_node("Abs", ["norm1"], ["magnitude"], "abs"))
    assert norms_to_convolutions(model) == 1


def test_a_dense_block_runs_in_integers_without_conversions(
    images: NDArray[np.uint8], tmp_path: Path
) -> None:
    onnx.save(Block().model(), tmp_path / "float.onnx")
    wanted, kinds, agreement = run(onnx.load(tmp_path / "float.onnx"), images), {}, {}
    for integer_norms in (False, True):
        settings = QuantizationSettings(integer_norms=integer_norms)
        graph = calibrate_file(tmp_path / "float.onnx", SPEC, images, settings).graph()
        onnx.save(graph, tmp_path / MODEL_FILE)
        kinds[integer_norms] = optimised(tmp_path / MODEL_FILE, tmp_path)
        found = run(graph, images)
        agreement[integer_norms] = float(
            np.min((found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1))
        )
        assert layer_precisions(graph)["float"] == []
    assert kinds[True]["QLinearConv"] == 6
    assert kinds[True]["DequantizeLinear"] < kinds[False]["DequantizeLinear"]
    assert kinds[True]["BatchNormalization"] == 0 < kinds[False]["BatchNormalization"]
    assert agreement[True] > 0.99
    assert agreement[True] > agreement[False] - 0.005


@pytest.mark.parametrize("method", ["min-max", "percentile", "entropy"])
def test_what_concatenations_join_has_one_grid(
    method: str, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    onnx.save(Block().model(), tmp_path / "float.onnx")
    graph = calibrate_file(
        tmp_path / "float.onnx", SPEC, images, QuantizationSettings(calibration=method)
    ).graph()
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    grids = {
        node.input[0]: (float(stored[node.input[1]]), int(stored[node.input[2]]))
        for node in graph.graph.node
        if node.op_type == "QuantizeLinear"
    }
    joined = [grids[name] for name in ("conv1", "joined1", "conv2", "joined2")]
    assert len(set(joined)) == 1
    # A ReLU is the end of its own grid.
    assert grids["stem_relu"] != joined[0]
    assert grids["stem_relu"][1] == 0


@pytest.mark.parametrize(
    ("runtime", "integer"),
    [("onnxruntime", True), ("openvino", True), ("torchscript", False), ("torchscript-qnnpack", False)],
)
def test_torchs_integer_kernels_keep_norms_in_float(runtime: str, integer: bool) -> None:
    config = TrialConfig.from_dict({"quantization": "int8-static", "target": {"runtime": runtime}})
    assert settings_of(config).integer_norms is integer
