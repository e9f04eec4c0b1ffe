"""Quantization of exported files, and the images that calibrate it."""

from reid.quantize.calibration import calibration_samples
from reid.quantize.offered import OFFERED, demand_offered, offered
from reid.quantize.schemes import CALIBRATED, SCHEMES, quantize
from reid.quantize.settings import QuantizationSettings

__all__ = [
    "CALIBRATED",
    "OFFERED",
    "SCHEMES",
    "QuantizationSettings",
    "calibration_samples",
    "demand_offered",
    "offered",
    "quantize",
]
