from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from reid.config import Target, TrialConfig
from reid.errors import ConfigError
from reid.export import Artifact, InputSpec, export_onnx
from reid.models import build, layer_widths
from reid.prune import planned, slim
from reid.quantize import QuantizationSettings, quantize
from reid.quantize.graph_network import GraphNetwork
from reid.quantize.half import to_fp16
from reid.quantize.ranges import calibrate_file
from reid.quantize.schemes import write_quantized
from reid.runtime import check_parity, open_artifact, parity
from tests.contract.deployment import (
    SPEC,
    people,
    randomise_batch_norm,
    tiny_artifact,
    tiny_network,
    torch_embeddings,
)
from tests.reid.quantize.graphs import chain_with_gate, optimised

INTEGER = {"QLinearConv", "QGemm", "QLinearAdd", "QLinearMul", "QLinearSigmoid", "NhwcMaxPool"}


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return tiny_artifact(tmp_path)


@pytest.fixture
def quantized(artifact: Artifact, tmp_path: Path) -> Artifact:
    return quantize(artifact, "int8-static", people(32), tmp_path / "int8.onnx")


def test_float_scheme_keeps_the_file(artifact: Artifact, tmp_path: Path) -> None:
    kept = quantize(artifact, "fp32", people(0), tmp_path / "kept.onnx")
    assert kept.path == tmp_path / "kept.onnx"
    assert kept.path.read_bytes() == artifact.path.read_bytes()
    assert (kept.scheme, kept.sha256, kept.spec) == ("fp32", artifact.sha256, artifact.spec)


def test_int8_embeds_nearly_as_torch_does(quantized: Artifact) -> None:
    runtime = open_artifact(quantized.path, Target())
    assert (runtime.scheme, runtime.spec) == ("int8-static", SPEC)
    images = people(50, seed=9)
    cosines = (runtime.embed(images) * torch_embeddings(tiny_network(), images)).sum(axis=1)
    assert cosines.min() > 0.99
    assert cosines.mean() < 1 - 1e-6


def test_integer_kernels_do_the_work(quantized: Artifact, tmp_path: Path) -> None:
    kinds = optimised(quantized.path, tmp_path)
    assert kinds["Conv"] == kinds["Gemm"] == kinds["FusedConv"] == 0
    assert kinds["QLinearConv"] == 5
    assert kinds["QGemm"] == 1
    assert kinds["Relu"] == 0


def test_tail_stays_float(quantized: Artifact) -> None:
    graph = onnx.load(quantized.path).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds[-4:] == ["Gemm", "ReduceL2", "Clip", "Div"]


def test_weights_are_int8_per_channel_and_activations_uint8(quantized: Artifact) -> None:
    graph = onnx.load(quantized.path).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producer = {name: node for node in graph.node for name in node.output}
    for conv in (node for node in graph.node if node.op_type == "Conv"):
        weight, scale = (tensors[name] for name in producer[conv.input[1]].input[:2])
        assert weight.dtype == np.int8
        assert scale.shape == (len(weight),)
        # Symmetric over the whole range: every channel reaches an end of it.
        assert (np.abs(weight.astype(int)).reshape(len(weight), -1).max(axis=1) == 127).all()
        assert tensors[producer[conv.input[0]].input[2]].dtype == np.uint8


def test_ranges_come_from_the_calibration_images(
    artifact: Artifact, quantized: Artifact, tmp_path: Path
) -> None:
    dark = quantize(artifact, "int8-static", people(32) // 8, tmp_path / "dark.onnx")
    bright = people(32, seed=4)
    network = tiny_network()
    right = parity(network, open_artifact(quantized.path, Target()), bright)
    assert parity(network, open_artifact(dark.path, Target()), bright) < right - 0.01


def test_equal_inputs_give_equal_bytes(artifact: Artifact, quantized: Artifact, tmp_path: Path) -> None:
    again = quantize(artifact, "int8-static", people(32), tmp_path / "again.onnx")
    assert again.path.read_bytes() == quantized.path.read_bytes()
    assert again.size_bytes < artifact.size_bytes


def test_any_number_of_images(quantized: Artifact) -> None:
    runtime = open_artifact(quantized.path, Target())
    images = people(3)
    alone = np.concatenate([runtime.embed(image[None]) for image in images])
    np.testing.assert_allclose(runtime.embed(images), alone, atol=1e-6)


def test_unknown_scheme_lists_the_known(artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"did you mean int8-static\?.*known: bf16, fp16, fp32, int8-dynamic"
    ):
        quantize(artifact, "int8-statik", people(1), tmp_path / "x.onnx")


@pytest.mark.parametrize("scheme", ["fp16", "bf16"])
def test_half_the_bits_are_half_the_file_and_the_same_embedding(
    artifact: Artifact, tmp_path: Path, scheme: str
) -> None:
    half = quantize(artifact, scheme, people(0), tmp_path / "half.onnx")
    runtime = open_artifact(half.path, Target())
    assert (runtime.scheme, runtime.spec) == (scheme, SPEC)
    assert half.size_bytes < artifact.size_bytes
    images = people(20, seed=9)
    cosines = (runtime.embed(images) * torch_embeddings(tiny_network(), images)).sum(axis=1)
    assert 1 - 1e-3 < cosines.min() < 1 - 1e-8
    stored = {tensor.data_type for tensor in onnx.load(half.path).graph.initializer if len(tensor.dims) == 4}
    assert stored == {{"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}[scheme]}


def test_activations_stay_in_half_precision() -> None:
    """A ReLU6 is a Clip, as the end of the L2 normalisation is one, which is computed in float32."""
    graph = chain_with_gate()
    relu = next(node for node in graph.graph.node if node.op_type == "Relu")
    relu.op_type = "Clip"
    for bound, value in (("least", 0.0), ("most", 6.0)):
        graph.graph.initializer.append(numpy_helper.from_array(np.float32(value), bound))
        relu.input.append(bound)
    half = to_fp16(graph)
    assert [node.op_type for node in half.graph.node].count("Cast") == 2, "images in, embedding out"


@pytest.mark.parametrize("scheme", ["bf16", "int8-mixed"])
def test_openvino_computes_what_onnxruntime_does(artifact: Artifact, tmp_path: Path, scheme: str) -> None:
    pytest.importorskip("openvino")
    settings = QuantizationSettings(float_layers=("stem.0",))
    file = quantize(artifact, scheme, people(32), tmp_path / "file.onnx", settings)
    images = people(20, seed=9)
    runtime = open_artifact(file.path, Target(runtime="openvino"))
    assert runtime.scheme == scheme
    assert (runtime.embed(images) * open_artifact(file.path, Target()).embed(images)).sum(
        axis=1
    ).min() > 0.999


def test_dynamic_int8_needs_no_images(artifact: Artifact, tmp_path: Path) -> None:
    dynamic = quantize(artifact, "int8-dynamic", people(0), tmp_path / "dynamic.onnx")
    assert dynamic.layers is not None
    assert set(dynamic.layers["quantized"]) == set(layer_widths(tiny_network()))
    images = people(20, seed=9)
    runtime = open_artifact(dynamic.path, Target())
    assert (runtime.embed(images) * torch_embeddings(tiny_network(), images)).sum(axis=1).min() > 0.999
    kinds = optimised(dynamic.path, tmp_path)
    assert kinds["ConvInteger"] == 5
    assert kinds["Conv"] == 0


@pytest.mark.parametrize("method", ["min-max", "percentile", "entropy"])
def test_every_calibration_method_embeds_nearly_as_torch_does(
    artifact: Artifact, tmp_path: Path, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = QuantizationSettings(calibration=method)
    # 33 images: the last batch holds a single one.
    file = quantize(artifact, "int8-static", people(33), tmp_path / "int8.onnx", settings)
    images = people(50, seed=9)
    runtime = open_artifact(file.path, Target())
    assert (runtime.embed(images) * torch_embeddings(tiny_network(), images)).sum(axis=1).min() > 0.99
    assert capfd.readouterr().out == ""


def test_methods_of_calibration_differ(artifact: Artifact, tmp_path: Path) -> None:
    contents = {
        quantize(
            artifact,
            "int8-static",
            people(32),
            tmp_path / f"{method}.onnx",
            QuantizationSettings(calibration=method),
        ).path.read_bytes()
        for method in ("min-max", "percentile", "entropy")
    }
    assert len(contents) == 3


def test_named_layers_stay_float(artifact: Artifact, tmp_path: Path) -> None:
    settings = QuantizationSettings(float_layers=("depthwise.0", "gate"))
    mixed = quantize(artifact, "int8-mixed", people(32), tmp_path / "mixed.onnx", settings)
    assert mixed.layers is not None
    assert mixed.layers["float"] == ["depthwise.0", "gate"]
    kinds = optimised(mixed.path, tmp_path)
    assert kinds["QLinearConv"] == 3
    assert kinds["Conv"] + kinds["FusedConv"] == 2


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (people(0), "at least 1 calibration image"),
        (people(1, 64, 32), "64x32.*48x24"),
        (people(1).astype(np.float32), "already normalised"),
    ],
)
def test_unfit_calibration_images_are_refused(
    artifact: Artifact, tmp_path: Path, images: np.ndarray, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        quantize(artifact, "int8-static", images, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_quantizing_twice_is_refused(quantized: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="int8-static already"):
        quantize(quantized, "int8-static", people(1), tmp_path / "twice.onnx")


@pytest.mark.parametrize(("scope", "convolutions"), [("inner", 20), ("grouped", 20)])
def test_slimmed_resnet18_runs_in_integers(tmp_path: Path, scope: str, convolutions: int) -> None:
    network = build("resnet18", 4)
    randomise_batch_norm(network)
    config = TrialConfig.from_dict({"scope": scope, "prune_rate": 0.7})
    small = slim(network, planned(network, config, round_to=16))
    kinds = _quantize_network(small, tmp_path)
    assert kinds["QLinearConv"] >= convolutions
    assert kinds["Conv"] == 0


def test_slimmed_osnet_runs_in_integers(tmp_path: Path) -> None:
    network = build("osnet_x0_25", 4)
    randomise_batch_norm(network)
    config = TrialConfig.from_dict({"scope": "inner", "prune_rate": 0.5, "backbone": "osnet_x0_25"})
    small = slim(network, planned(network, config, round_to=4))
    kinds = _quantize_network(small, tmp_path)
    assert kinds["QLinearConv"] >= 187
    assert kinds["Conv"] == 0


def _quantize_network(network: object, folder: Path) -> Counter[str]:
    """Exports and quantizes at 64x32; float equals torch, int8 comes close."""
    spec = InputSpec(height=64, width=32, mean=SPEC.mean, std=SPEC.std, embedding_dim=network.embedding_dim)
    images = people(8, 64, 32)
    artifact = export_onnx(network, spec, folder / "float.onnx")
    assert check_parity(network, open_artifact(artifact.path, Target()), images) > 0.99999
    quantized = quantize(artifact, "int8-static", images, folder / "int8.onnx")
    assert quantized.size_bytes < artifact.size_bytes
    assert parity(network, open_artifact(quantized.path, Target()), images) > 0.97
    return optimised(quantized.path, folder)


def test_layers_are_told_by_the_names_of_the_network(quantized: Artifact, artifact: Artifact) -> None:
    layers = quantized.layers
    assert layers is not None
    assert artifact.layers is None
    assert set(layers["quantized"]) == set(layer_widths(tiny_network()))
    assert not layers["float"]
    integer_weights = [
        tensor
        for tensor in onnx.load(quantized.path).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    assert len(integer_weights) == len(layers["quantized"])


def levels(path: Path) -> int:
    """Largest magnitude among the int8 weights of a file."""
    tensors = [tensor for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 4]
    found = [numpy_helper.to_array(t) for t in tensors if t.data_type == onnx.TensorProto.INT8]
    return max(int(np.abs(values.astype(np.int64)).max()) for values in found)


@pytest.mark.parametrize(("bits", "top"), [(7, 64), (8, 127)])
def test_weights_have_the_bits_asked_for(artifact: Artifact, tmp_path: Path, bits: int, top: int) -> None:
    settings = QuantizationSettings(weight_bits=bits)
    file = quantize(artifact, "int8-static", people(32), tmp_path / "int8.onnx", settings)
    assert levels(file.path) == top


def test_seven_bits_compute_the_same_wherever_they_run(artifact: Artifact, tmp_path: Path) -> None:
    """Sums of two products stay within 16 bits: 2 x 255 x 64 < 2^15."""
    settings = QuantizationSettings(weight_bits=7)
    start = calibrate_file(artifact.path, SPEC, people(32), settings)
    exact = GraphNetwork(start.graph(), start.model, start.weight_bits).eval()
    file = quantize(artifact, "int8-static", people(32), tmp_path / "int8.onnx", settings)
    images = people(20, seed=9)
    with torch.inference_mode():
        wanted = exact(torch.from_numpy(SPEC.normalise(images))).numpy()
    assert (open_artifact(file.path, Target()).embed(images) * wanted).sum(axis=1).min() > 0.9999
    assert levels(write_trained(exact, tmp_path)) <= 64


def write_trained(network: GraphNetwork, folder: Path) -> Path:
    write_quantized(network.write(), SPEC, "int8-qat", folder / "qat.onnx")
    return folder / "qat.onnx"
