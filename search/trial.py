"""What a worker runs: the pipeline of one trial, between plain values on both sides."""

import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reid.config import Limit, TrialConfig
from reid.errors import NotHere, ResourceError
from reid.outcome import TrialOutcome
from reid.plugins import code_of
from results import DiskCache
from results.layout import cache_folder
from results.record import BASELINE_NUMBER
from search.contact import Contact
from search.going import Staged, StopWatch
from search.jobs import Job
from search.reporter import Reporter

__all__ = ["run"]


def run(job: Job, contact: Contact) -> dict[str, Any]:
    """Run the pipeline for a job of the driver; what the study has cached is taken from there.

    Args:
        job: its payload holds config, code, study, data_root, limits, reference, kernel_host, kernel_ms_at_start,
            early_stopping and cache_limit_bytes.
        contact: to the driver: told each step and stage, and asked whether to stop.

    Returns:
        The outcome as plain JSON values; `artifact` is a folder to be copied by the driver.

    Raises:
        ReidParetoError: as `reid.pipeline.run`.
        NotHere: a network of the user's own is another one here than when the study was begun.
        Stopped: the driver asked for it; finished epochs and stages stay in the cache.
    """
    import torch

    from reid import pipeline

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    asked = job.payload
    config = TrialConfig.from_dict(asked["config"])
    _demand_code(config, asked["code"])
    kernel_ms = _kernel_ms_at_start(job, config)
    with DiskCache(cache_folder(Path(asked["study"])), asked["cache_limit_bytes"]) as cache:
        outcome = pipeline.run(
            config,
            data_root=Path(asked["data_root"]),
            cache=Staged(cache, contact),
            limits=[Limit(**limit) for limit in asked["limits"]],
            reference=None if asked["reference"] is None else Path(asked["reference"]),
            kernel_ms_at_start=kernel_ms,
            say=contact,
            watcher=Reporter(contact) if asked["early_stopping"] else StopWatch(contact),
        )
        artifact = outcome.artifact and _set_aside(outcome.artifact, job.work / "artifact")
    return _plain(outcome, artifact, {"kernel_ms": kernel_ms} if job.number == BASELINE_NUMBER else {})


def _kernel_ms_at_start(job: Job, config: TrialConfig) -> float | None:
    """Time of the calibration kernel when the study began: measured by the baseline, then passed on.

    None on another machine than the baseline's, where it means nothing.
    """
    if job.number == BASELINE_NUMBER:
        from reid.runtime import demand_usable
        from reid.timing import DeviceLock, calibration_kernel_ms

        demand_usable(config.target)
        return calibration_kernel_ms(DeviceLock(config.target.device), config.target.affinity)
    same_machine = job.payload["kernel_host"] == socket.gethostname()
    known: float | None = job.payload["kernel_ms_at_start"]
    return known if same_machine else None


def _set_aside(artifact: Path, folder: Path) -> Path:
    """A copy for the driver: the stage itself may be evicted once this trial no longer uses it."""
    try:
        return Path(shutil.copytree(artifact, folder))
    except OSError as error:
        raise ResourceError(f"cannot copy {artifact} to {folder}: {error.strerror or error}") from error


def _plain(outcome: TrialOutcome, artifact: Path | None, checks: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": outcome.status,
        "metrics": {name: float(value) for name, value in outcome.metrics.items()},
        "latency": dict(outcome.latency),
        "latency_trusted": outcome.latency_trusted,
        "violations": dict(outcome.violations),
        "stages": [asdict(stage) for stage in outcome.stages],
        "curves": [dict(row) for row in outcome.curves],
        "checks": {**outcome.checks, **checks},
        "artifact": None if artifact is None else str(artifact),
        "protocol": outcome.protocol,
    }


def _demand_code(config: TrialConfig, code: Mapping[str, str]) -> None:
    """Refuse to mix versions of the user's own networks: of a node, or of a process that began after an edit."""
    for name in (config.backbone, config.teacher_backbone):
        if name is not None and name in code and code_of(name, "backbone") != code[name]:
            raise NotHere(
                f"the file of {name} on {socket.gethostname()} is not the one that the study was begun with; bring it "
                "back, or name a new study"
            )
