"""Ranges of the activations of an fp32 file, taken once; any number of int8 graphs are made from them."""

import io
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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

from reid.config import reject_unknown
from reid.export.spec import InputSpec
from reid.files import write_atomic
from reid.quantize.equalize import equalize
from reid.quantize.joins import share_ranges
from reid.quantize.norms import norms_to_convolutions
from reid.quantize.placement import float_nodes, float_tail
from reid.quantize.settings import QuantizationSettings

__all__ = ["METHODS", "Calibrated", "calibrate_file"]

METHODS: dict[str, tuple[CalibrationMethod, dict[str, Any]]] = {
    "min-max": (CalibrationMethod.MinMax, {}),
    # Of 100, 99.999 and 99.9999 the last had the best cosine (docs/decisions/0004-export-and-int8.md).
    "percentile": (CalibrationMethod.Percentile, {"CalibPercentile": 99.9999}),
    "entropy": (CalibrationMethod.Entropy, {}),
}
"""Calibration methods by name: that of ONNX Runtime, and its options."""

_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibrated:
    """An fp32 graph and the ranges of its activations.

    Attributes:
        model: the fp32 graph, simplified; its nodes have names.
        ranges: what ONNX Runtime keeps of a calibration, as bytes.
        method: name in `METHODS`.
        weight_bits: 7 or 8.
    """

    model: onnx.ModelProto
    ranges: bytes
    method: str
    weight_bits: int = 8

    def graph(self, float_layers: tuple[str, ...] = ()) -> onnx.ModelProto:
        """The graph with quantize-dequantize pairs around all that is quantized.

        Args:
            float_layers: names of weighted layers, as in the torch network, that stay float.
        """
        with tempfile.TemporaryDirectory(prefix="reid-pareto-int8-") as name:
            folder = Path(name)
            onnx.save(self.model, folder / "prepared.onnx")
            write_atomic(folder / "ranges.json", self.ranges)
            settings = QuantizationSettings(
                calibration=self.method, float_layers=float_layers, weight_bits=self.weight_bits
            )
            return _quantize(folder, self.model, None, settings)


def calibrate_file(
    source: Path, spec: InputSpec, images: NDArray[np.uint8], settings: QuantizationSettings
) -> Calibrated:
    """Simplify an fp32 file, equalize it if asked, and take the ranges of its activations.

    Batch normalisation before convolutions becomes a convolution where the settings say so.

    Args:
        source: an fp32 file of `reid.export.export_onnx`.
        spec: its input specification.
        images: (N, height, width, 3) uint8, RGB, N >= 1, of training identities.
        settings: `float_layers` are not looked at.

    Raises:
        ConfigError: the calibration method is unknown.
    """
    reject_unknown([settings.calibration], METHODS, "calibration")
    with tempfile.TemporaryDirectory(prefix="reid-pareto-int8-") as name:
        folder = Path(name)
        # Symbolic shape inference adds nothing for our graphs: only the number of images is free.
        quant_pre_process(source, folder / "prepared.onnx", skip_symbolic_shape=True)
        model = onnx.load(folder / "prepared.onnx")
        changed = norms_to_convolutions(model) if settings.integer_norms else 0
        changed += equalize(model) if settings.equalize else 0
        if changed:
            onnx.save(model, folder / "prepared.onnx")
        _quantize(folder, model, _Batches(spec, images), replace(settings, float_layers=()))
        return Calibrated(
            model=model,
            ranges=share_ranges(model.graph, (folder / "ranges.json").read_bytes()),
            method=settings.calibration,
            weight_bits=settings.weight_bits,
        )


def _quantize(
    folder: Path,
    model: onnx.ModelProto,
    reader: CalibrationDataReader | None,
    settings: QuantizationSettings,
) -> onnx.ModelProto:
    with redirect_stdout(io.StringIO()), _without_hints():  # the histogram methods print
        _quantize_static(folder, model, reader, settings)
    return onnx.load(folder / "quantized.onnx")


def _quantize_static(
    folder: Path,
    model: onnx.ModelProto,
    reader: CalibrationDataReader | None,
    settings: QuantizationSettings,
) -> None:
    calibrate_method, options = METHODS[settings.calibration]
    quantize_static(
        folder / "prepared.onnx",
        folder / "quantized.onnx",
        reader,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=settings.weight_bits == 7,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
        calibrate_method=calibrate_method,
        calibration_cache_path=folder / "ranges.json",
        nodes_to_exclude=sorted(_excluded(model.graph, settings.float_layers)),
        extra_options={
            # Linear layers stand only at the end of our networks, and the kernel gives floats at no cost.
            "OpTypesToExcludeOutputQuantization": ["Gemm"],
            # One batch after the other: the histograms would otherwise hold every activation of every image.
            "CalibStridedMinMax": 1,
            **options,
        },
    )


def _excluded(graph: onnx.GraphProto, float_layers: tuple[str, ...]) -> set[str]:
    # A batch norm that is no convolution runs in float either way; int8 would only coarsen its factors.
    norms = {node.name for node in graph.node if node.op_type == "BatchNormalization"}
    return norms | {*float_tail(graph)} | float_nodes(graph, float_layers)


@contextmanager
def _without_hints() -> Iterator[None]:
    """Without ONNX Runtime's warnings about one-dimensional weights, one for each, which it rightly leaves alone."""

    def keep(record: logging.LogRecord) -> bool:
        return "out-of-range for weight" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Feeds decoded images as every runtime would, in any range of batches."""

    def __init__(self, spec: InputSpec, images: NDArray[np.uint8]) -> None:
        self._spec, self._images = spec, images
        self.set_range(0, len(self))

    def __len__(self) -> int:
        return -(-len(self._images) // _BATCH)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Continue with these batches."""
        self._batches = self._normalised(range(start_index, end_index))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._batches, None)

    def _normalised(self, batches: range) -> Iterator[dict[str, NDArray[np.float32]]]:
        for index in batches:
            yield {"images": self._spec.normalise(self._images[index * _BATCH : (index + 1) * _BATCH])}
