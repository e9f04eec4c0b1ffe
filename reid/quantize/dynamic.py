"""Dynamic int8: weights are int8, the ranges of activations are found at run time; nothing is calibrated."""

import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

__all__ = ["quantize_dynamic_int8"]


def quantize_dynamic_int8(source: Path) -> onnx.ModelProto:
    """Quantize an fp32 file.

    Args:
        source: an fp32 file of `reid.export.export_onnx`.

    Returns:
        The quantized graph, without our metadata; its weights are uint8 with one scale per tensor, the only form
        that ONNX Runtime's integer convolution takes on x86 without calibration.

    Source: Krishnamoorthi, arXiv:1806.08342, section 2.
    """
    with tempfile.TemporaryDirectory(prefix="reid-pareto-int8-") as folder:
        prepared, quantized = Path(folder) / "prepared.onnx", Path(folder) / "quantized.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_dynamic(prepared, quantized, weight_type=QuantType.QUInt8)
        return onnx.load(quantized)
