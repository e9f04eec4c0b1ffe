"""Files in 16 bits: fp16 graphs, and bf16 weights for runtimes that compute in bf16."""

import ml_dtypes
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from reid.quantize.placement import float_tail
from reid.quantize.precisions import WEIGHTED

__all__ = ["to_bf16", "to_fp16"]


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in fp16; images and embedding stay float32, and the L2 normalisation is computed so too.

    Squares of an embedding's values overflow fp16 from 256 on.

    Args:
        model: an fp32 graph; it is left as it is.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for index, node in enumerate(copy.graph.node):
        node.name = node.name or f"node{index}"
    # Before the last layer these are activations: ReLU6 is a Clip, and a GELU divides.
    after = set(float_tail(copy.graph))
    tail = [n.name for n in copy.graph.node if n.op_type in ("ReduceL2", "Clip", "Div") and n.name in after]
    half: onnx.ModelProto = convert_float_to_float16(copy, keep_io_types=True, node_block_list=tail)
    # A value with two readers outside fp16 gets the same cast twice.
    casts = {node.output[0]: node for node in reversed(half.graph.node)}
    nodes = [node for node in half.graph.node if casts[node.output[0]] is node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    return half


def to_bf16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the weights of its layers kept as bf16; a runtime may compute in bf16 or float32.

    Args:
        model: an fp32 graph; it is left as it is.
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    wanted = {node.input[1] for node in graph.node if node.op_type in WEIGHTED}
    casts = []
    for tensor in graph.initializer:
        if tensor.name in wanted and tensor.data_type == TensorProto.FLOAT:
            values, name = numpy_helper.to_array(tensor), tensor.name
            # Raw bytes: OpenVINO misreads bf16 that is kept as a list of integers.
            tensor.CopyFrom(numpy_helper.from_array(values.astype(ml_dtypes.bfloat16), f"{name}_bf16"))
            casts.append(helper.make_node("Cast", [f"{name}_bf16"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return half
