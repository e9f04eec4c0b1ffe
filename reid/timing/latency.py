"""What a timing gave, and whether to believe it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Latency"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Latency of one inference on a target that was held alone.

    Attributes:
        latency_ms: median of the samples, milliseconds.
        p10_ms: 10th percentile.
        p90_ms: 90th percentile.
        samples_ms: every sample of the attempt that counts, in the order taken.
        trusted: whether spread, kernel drift and the queue of the core stayed within bounds; an untrusted latency
            never enters a front.
        reason: why it is not trusted, in words; empty when it is.
        kernel_drift: signed relative difference of the calibration kernel from its value at the start of the
            study (or, where none is known, of its value after the samples from that before); the one of larger
            size, of before and after.
        kernel_ms: the calibration kernel before and after the samples, milliseconds.
        queued: share of the time meanwhile for which others had the core; 0 where the system does not tell.
        attempts: how often it was timed, from 1.
        waited_s: how long the attempts waited for the device, together, in seconds.
        ratio: latency_ms / reference_ms, or None without a reference.
        reference_ms: median of the reference's samples, taken in turns with these, or None.
    """

    latency_ms: float
    p10_ms: float
    p90_ms: float
    samples_ms: tuple[float, ...]
    trusted: bool
    reason: str
    kernel_drift: float
    kernel_ms: tuple[float, float]
    attempts: int
    waited_s: float
    ratio: float | None
    reference_ms: float | None
    queued: float = 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave.

        Raises:
            KeyError, TypeError: a key is missing or unknown.
        """
        pairs = {name: tuple(values[name]) for name in ("samples_ms", "kernel_ms")}
        return cls(**{**values, **pairs})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values by attribute name."""
        return dataclasses.asdict(self) | {
            "samples_ms": list(self.samples_ms),
            "kernel_ms": list(self.kernel_ms),
        }
