"""Static int8 after training, as quantize-dequantize pairs that ONNX Runtime fuses into integer kernels."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from reid.export.spec import InputSpec
from reid.quantize.precisions import WEIGHTED

__all__ = ["quantize_static_int8"]

_BATCH = 16


def quantize_static_int8(source: Path, spec: InputSpec, images: NDArray[np.uint8]) -> onnx.ModelProto:
    """Quantize an fp32 file.

    Weights become int8 with one scale per output channel, activations uint8 with one scale per tensor from
    the smallest and largest value seen. What follows the last weighted layer stays float: it costs nothing
    there and the embedding keeps its resolution. The figures behind each choice are in
    docs/decisions/0004-export-and-int8.md.

    Args:
        source: an fp32 file of `reid.export.export_onnx`.
        spec: its input specification.
        images: (N, height, width, 3) uint8, RGB, N >= 1, of training identities.

    Returns:
        The quantized graph, without our metadata.

    Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference, CVPR 2018, section 2; per-channel weights: Krishnamoorthi, arXiv:1806.08342, section 3.
    """
    with tempfile.TemporaryDirectory(prefix="reid-pareto-int8-") as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        # Symbolic shape inference adds nothing for our graphs: only the number of images is free.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantized,
            _NormalisedBatches(spec, images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=_float_tail(onnx.load(prepared).graph),
            # Linear layers stand only at the end of our networks, and the kernel gives floats at no cost.
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm"]},
        )
        return onnx.load(quantized)


class _NormalisedBatches(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Feeds decoded images as every runtime would."""

    def __init__(self, spec: InputSpec, images: NDArray[np.uint8]) -> None:
        self._batches = self._normalised(spec, images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)

    @staticmethod
    def _normalised(spec: InputSpec, images: NDArray[np.uint8]) -> Iterator[dict[str, NDArray[np.float32]]]:
        for start in range(0, len(images), _BATCH):
            yield {"images": spec.normalise(images[start : start + _BATCH])}


def _float_tail(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes from which no weighted layer follows."""
    feeds_weights: set[str] = set()
    tail = []
    for node in reversed(graph.node):
        if node.op_type in WEIGHTED or feeds_weights.intersection(node.output):
            feeds_weights.update(node.input)
        else:
            tail.append(node.name)
    return tail
