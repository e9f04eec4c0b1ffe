"""An exported network that takes pixels: normalising, mirroring and adding happen inside the file.

For programs that are no Python: they resize an image and hand its bytes over.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from reid.export.metadata import read_metadata
from reid.export.spec import InputSpec

__all__ = ["PIXELS", "with_pixels"]

PIXELS = "pixels"
"""Name of the input of such a file; that of all others is "images"."""

_OURS, _WITHIN = "reid_pareto/", "reid_pareto/network_embedding"


def with_pixels(content: bytes) -> bytes:
    """Put what comes before and after the network into its file.

    Args:
        content: an exported ONNX file, of any scheme, whose input is "images" (N, 3, height, width) float32.

    Returns:
        A file that takes "pixels" (N, height, width, 3) uint8, RGB, and returns "embedding" (N, D) float32 of length
        1; where the input specification says `flip`, of the image and its mirror image together.

    Raises:
        UnverifiedError: the file holds no input specification.
    """
    model = onnx.load_model_from_string(content)
    spec, _ = read_metadata({entry.key: entry.value for entry in model.metadata_props}, "the source")
    graph = model.graph
    # Their number of images is no longer that of the input.
    del graph.value_info[:]
    inner = list(graph.node)
    for node in inner:
        node.output[:] = [_WITHIN if name == "embedding" else name for name in node.output]
        node.input[:] = [_WITHIN if name == "embedding" else name for name in node.input]
    del graph.node[:]
    graph.node.extend([*_before(graph, spec), *inner, *_after(graph, spec)])
    del graph.input[:]
    shape = ["N", spec.height, spec.width, 3]
    graph.input.append(helper.make_tensor_value_info(PIXELS, onnx.TensorProto.UINT8, shape))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _before(graph: onnx.GraphProto, spec: InputSpec) -> list[onnx.NodeProto]:
    mean, std = np.array(spec.mean), np.array(spec.std)
    scale = _constant(graph, "scale", (1 / (255 * std)).astype(np.float32).reshape(1, 3, 1, 1))
    shift = _constant(graph, "shift", (-mean / std).astype(np.float32).reshape(1, 3, 1, 1))
    nodes, seen = [], PIXELS
    if spec.flip:
        starts, ends, axes, steps = (
            _constant(graph, name, np.array([value], np.int64))
            for name, value in (("start", -1), ("end", np.iinfo(np.int64).min), ("axis", 2), ("step", -1))
        )
        nodes += [
            helper.make_node("Slice", [PIXELS, starts, ends, axes, steps], [f"{_OURS}mirrored"]),
            helper.make_node("Concat", [PIXELS, f"{_OURS}mirrored"], [f"{_OURS}both"], axis=0),
        ]
        seen = f"{_OURS}both"
    return [
        *nodes,
        helper.make_node("Cast", [seen], [f"{_OURS}float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Transpose", [f"{_OURS}float"], [f"{_OURS}planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", [f"{_OURS}planes", scale], [f"{_OURS}scaled"]),
        helper.make_node("Add", [f"{_OURS}scaled", shift], ["images"]),
    ]


def _after(graph: onnx.GraphProto, spec: InputSpec) -> list[onnx.NodeProto]:
    nodes, seen = [], _WITHIN
    if spec.flip:
        shape = _constant(graph, "pairs", np.array([2, -1, spec.embedding_dim], np.int64))
        first = _constant(graph, "first", np.array([0], np.int64))
        nodes += [
            helper.make_node("Reshape", [_WITHIN, shape], [f"{_OURS}pair"]),
            helper.make_node("ReduceSum", [f"{_OURS}pair", first], [f"{_OURS}sum"], keepdims=0),
        ]
        seen = f"{_OURS}sum"
    return [*nodes, helper.make_node("LpNormalization", [seen], ["embedding"], axis=1, p=2)]


def _constant(graph: onnx.GraphProto, name: str, values: np.ndarray) -> str:
    full = f"{_OURS}{name}"
    graph.initializer.append(numpy_helper.from_array(values, full))
    return full
