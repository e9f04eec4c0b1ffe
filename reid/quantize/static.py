"""Static int8 after training, as quantize-dequantize pairs that ONNX Runtime fuses into integer kernels."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from reid.export.spec import InputSpec
from reid.quantize.ranges import calibrate_file
from reid.quantize.settings import PLAIN, QuantizationSettings

__all__ = ["quantize_static_int8"]


def quantize_static_int8(
    source: Path, spec: InputSpec, images: NDArray[np.uint8], settings: QuantizationSettings = PLAIN
) -> onnx.ModelProto:
    """Quantize an fp32 file.

    Weights become int8 with one scale per output channel, activations uint8 with one scale per tensor. What
    follows the last weighted layer stays float: it costs nothing there and the embedding keeps its resolution.
    The figures behind each choice are in docs/decisions/0004-export-and-int8.md.

    Args:
        source: an fp32 file of `reid.export.export_onnx`.
        spec: its input specification.
        images: (N, height, width, 3) uint8, RGB, N >= 1, of training identities.
        settings: how ranges are taken, and what stays float.

    Returns:
        The quantized graph, without our metadata.

    Raises:
        ConfigError: the calibration method is unknown.

    Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference, CVPR 2018, section 2; per-channel weights: Krishnamoorthi, arXiv:1806.08342, section 3.
    """
    return calibrate_file(source, spec, images, settings).graph(settings.float_layers)
