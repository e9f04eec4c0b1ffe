"""Quantization of exported files, and the images that calibrate it."""

from reid.quantize.calibration import calibration_samples
from reid.quantize.schemes import SCHEMES, quantize

__all__ = ["SCHEMES", "calibration_samples", "quantize"]
