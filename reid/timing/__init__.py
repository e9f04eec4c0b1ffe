"""Honest latency: a device to oneself, a machine that is checked, samples that are kept."""

from reid.timing.compare import Comparison, compare
from reid.timing.kernel import calibration_kernel_ms
from reid.timing.latency import Latency
from reid.timing.lock import DeviceLock
from reid.timing.measure import measure
from reid.timing.table import LatencyTable

__all__ = [
    "Comparison",
    "DeviceLock",
    "Latency",
    "LatencyTable",
    "calibration_kernel_ms",
    "compare",
    "measure",
]
