"""Steps 1 and 9: time a file on the target, alone on the device."""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.config import TrialConfig
from reid.export import MODEL_FILE, Artifact, export_onnx
from reid.files import sha256_of
from reid.models import ReIDNetwork, code_key, count, layer_widths, network_options
from reid.quantize import quantize
from reid.runtime import open_artifact, version_of
from reid.runtime.footprint import measure_footprint
from reid.steps.compress import slim_as_planned
from reid.steps.data import TrialData
from reid.steps.dense import Network
from reid.steps.deploy import EXPORT_VERSION, QUANTIZE_VERSION, input_spec
from reid.steps.mixed import choose_mixed
from reid.steps.qat import calibrate, calibrated, settings_of
from reid.steps.workshop import Workshop
from reid.timing import Latency, LatencyTable, measure
from reid.timing.physical import gpu_name

__all__ = ["cost_of", "footprint_of", "time_artifact", "time_early"]

EARLY_CALIBRATION_IMAGES = 16
"""Enough to give every activation a range; the ranges do not change the speed."""


def time_early(
    work: Workshop,
    data: TrialData,
    dense: Network,
    rates: Mapping[str, float],
    reference: Path | None,
    kernel_ms_at_start: float | None,
) -> tuple[dict[str, float], Latency]:
    """Latency and size of the slimmed network before it is trained: its channel counts are known already.

    A network of equal shapes, scheme, target and reference that was timed on this machine before, at the pace that it
    has in this study, is not timed again.

    Returns:
        The figures that a limit may be on, and the timing.
    """
    config = work.config
    with work.uncached("early_time"), tempfile.TemporaryDirectory(prefix="reid-pareto-early-") as folder:
        path = Path(folder) / MODEL_FILE
        with work.lock.shared():
            slimmed = slim_as_planned(config, dense, rates)
        table, network = LatencyTable(), _identity(config, slimmed.model, reference)
        if (known := table.find(network, kernel_ms_at_start)) is not None:
            work.checks["early_latency_known"] = True
            return known
        with work.lock.shared():
            artifact = export_onnx(slimmed.model, input_spec(config, slimmed.model), path)
        artifact = _early_file(work, data, artifact)
        latency = _measure(work, artifact, reference, kernel_ms_at_start)
        figures = cost_of(config, slimmed.model, artifact, latency)
        table.keep(network, figures, latency)
        return figures, latency


def _identity(config: TrialConfig, model: ReIDNetwork, reference: Path | None) -> dict[str, Any]:
    """What decides how fast a network is, as JSON values; weights do not."""
    return {
        "backbone": code_key(config.backbone),
        "options": dataclasses.asdict(network_options(config)),
        "scope": config.scope,
        "widths": layer_widths(model),
        "input_size": list(config.input_size),
        "flip": config.flip_embedding,
        "scheme": config.quantization,
        "target": dataclasses.asdict(config.target),
        "version": version_of(config.target.runtime),
        "writers": [EXPORT_VERSION, QUANTIZE_VERSION],
        "reference": sha256_of(reference / MODEL_FILE) if reference else None,
        "gpu": gpu_name(config.target.device),
    }


def _early_file(work: Workshop, data: TrialData, artifact: Artifact) -> Artifact:
    """`artifact` in the trial's scheme, as fast as the final file will be.

    int8-qat changes numbers, not the graph, so its file before training will do. int8-mixed is chosen by latency
    alone: harm only takes layers out of int8 later, so no final file is much faster than this one.
    """
    config = work.config
    if config.quantization == "fp32":
        return artifact
    if config.quantization == "int8-mixed":
        folder = artifact.path.parent / "mixed"
        folder.mkdir()
        start = calibrated(work, data, artifact, EARLY_CALIBRATION_IMAGES)
        layers = choose_mixed(work, data, artifact, start, folder, quick=True)
        return Artifact.of(folder / MODEL_FILE, artifact.spec, "int8-mixed", layers)
    images = data.images[list(calibrate(config, data, EARLY_CALIBRATION_IMAGES))]
    with work.lock.shared():
        path = artifact.path.with_stem("quantized")
        return quantize(artifact, config.quantization, images, path, settings_of(config))


def time_artifact(
    work: Workshop, artifact: Artifact, reference: Path | None, kernel_ms_at_start: float | None
) -> Latency:
    """Latency of the final file, alternately with the dense baseline's where `reference` gives its folder."""
    with work.uncached("time"):
        return _measure(work, artifact, reference, kernel_ms_at_start)


def footprint_of(work: Workshop, artifact: Artifact) -> dict[str, float]:
    """Cold start, memory and throughput of the final file on the target; nothing unless the trial asks for it."""
    if not work.config.footprint:
        return {}
    with work.uncached("footprint"):
        found = measure_footprint(
            artifact.path, work.config.target, beside=work.lock.shared, alone=work.lock.exclusive
        )
    rates = {f"throughput_{batch}_per_s": rate for batch, rate in found.images_per_second.items()}
    return {"cold_start_ms": found.cold_start_ms, "peak_memory_mb": found.peak_memory_mb, **rates}


def cost_of(
    config: TrialConfig, model: ReIDNetwork, artifact: Artifact, latency: Latency
) -> dict[str, float]:
    """What the network costs on the target."""
    size = count(model, config.input_size)
    return {
        "latency_ms": latency.latency_ms,
        "latency_p10_ms": latency.p10_ms,
        "latency_p90_ms": latency.p90_ms,
        **_ratio(config, latency),
        "throughput_per_s": config.target.batch * 1000 / latency.latency_ms,
        "size_bytes": artifact.size_bytes,
        "macs": size.macs,
        "params": size.params,
    }


def _ratio(config: TrialConfig, latency: Latency) -> dict[str, float]:
    if latency.ratio is not None:
        return {"latency_ratio": latency.ratio}
    # The dense fp32 network is what others are compared with; another was compared with nothing.
    return {"latency_ratio": 1.0} if (config.method, config.quantization) == ("none", "fp32") else {}


def _measure(
    work: Workshop, artifact: Artifact, reference: Path | None, kernel_ms_at_start: float | None
) -> Latency:
    target = work.config.target
    with work.lock.shared():
        run = open_artifact(artifact.path, target).timer()
        run_reference = open_artifact(reference / MODEL_FILE, target).timer() if reference else None
    return measure(
        run,
        lock=work.lock,
        reference=run_reference,
        kernel_ms_at_start=kernel_ms_at_start,
        threads=target.threads,
        affinity=target.affinity,
    )
