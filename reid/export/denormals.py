"""Weights so small that they only cost time.

A trained network holds weights far below anything that moves an embedding: batch norms that weight decay has driven
to nothing, filters that soft pruning has faded out. Their products fall below the smallest normal float32, and on x86
each such product takes a hundred cycles or more. The public OSNet x0.25 weights hold 426 of them among 198,089 values,
and its file ran six times slower for it (docs/decisions/0005-denormals.md).
"""

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["TINY", "flush_tiny"]

TINY = 2.0**-63
"""Magnitude below which a weight becomes zero: the product of two larger values is still a normal float32."""


def flush_tiny(model: onnx.ModelProto) -> int:
    """Set float32 initializers below `TINY` in magnitude to zero, in place.

    Returns:
        How many values became zero.
    """
    flushed = 0
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        tiny = (np.abs(values) < TINY) & (values != 0)
        if tiny.any():
            flushed += int(tiny.sum())
            tensor.CopyFrom(numpy_helper.from_array(np.where(tiny, np.float32(0), values), tensor.name))
    return flushed
