"""What a trial gives back: facts only, in plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["StageReport", "TrialOutcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """One stage as this trial met it.

    Attributes:
        name: of the stage.
        key: content key; empty for stages that are never cached, such as timing.
        seconds: wall time that this trial spent in it, >= 0.
        cpu_seconds: processor time of this process and its children meanwhile, all cores together, >= 0.
        cached: whether the stage was there already.
    """

    name: str
    key: str
    seconds: float
    cpu_seconds: float
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOutcome:
    """A finished trial.

    Attributes:
        status: "infeasible" when a limit is broken or the artifact is not faithful enough.
        metrics: mAP, mAP_trapezoid, rank1, rank5, rank10 (fractions, validation identities), latency_ms,
            latency_p10_ms, latency_p90_ms, latency_ratio, throughput_per_s, size_bytes, macs, params, and with
            `footprint` cold_start_ms, peak_memory_mb, throughput_N_per_s; those that were measured.
        latency: the whole timing, raw samples included.
        latency_trusted: whether the timing was quiet enough to be believed.
        violations: text of each broken limit, and by how much it is broken.
        stages: in the order of the work.
        curves: one mapping per trained epoch: stage, epoch, loss, images_per_second, seconds.
        checks: parity_min_cosine, slim_max_abs_difference, quantization_drop, early_latency_ms and the like.
        artifact: folder with model.onnx and input_spec.json, or None.
        protocol: how accuracy was measured.
    """

    status: Literal["complete", "infeasible"]
    metrics: Mapping[str, float]
    latency: Mapping[str, Any] = field(default_factory=dict)
    latency_trusted: bool = False
    violations: Mapping[str, float] = field(default_factory=dict)
    stages: tuple[StageReport, ...] = ()
    curves: tuple[Mapping[str, Any], ...] = ()
    checks: Mapping[str, Any] = field(default_factory=dict)
    artifact: Path | None = None
    protocol: str = ""
