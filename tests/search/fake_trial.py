"""A trial that computes nothing: its figures are a formula of its parameters, and it fails when told to.

Which trial fails and how comes from REID_PARETO_FAKE, a JSON mapping from "NUMBER" or "NUMBER-ATTEMPT" to one of
the names in `FAULTS`; REID_PARETO_FAKE_LOG names a folder in which every execution leaves an empty file.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reid.errors import ArtifactError, ConfigError, DataError, ResourceError
from search.jobs import Job

SLEEP_S = float(os.environ.get("REID_PARETO_FAKE_SLEEP", "0.05"))


def figures(config: dict[str, Any]) -> dict[str, float]:
    """mAP falls with the prune rate, latency faster: every rate is on the front."""
    height, width = config["input_size"]
    kept = 1 - (0.0 if config["method"] == "none" else config["prune_rate"])
    speed = 2.0 if config["quantization"] == "int8-static" else 1.0
    return {
        "mAP": 0.8
        - 0.3 * (1 - kept) ** 2
        - 0.05 * (config["decay_rate"] or 0.0)
        - (0.01 if speed > 1 else 0.0),
        "latency_ms": 20.0 * kept * height * width / (256 * 128) / speed,
        "rank1": 0.9,
        "size_bytes": 1000.0,
    }


def run(job: Job, say: Callable[[str], None]) -> dict[str, Any]:
    """Sleep a little, then return figures or fail."""
    _log(job)
    faults = json.loads(os.environ.get("REID_PARETO_FAKE", "{}"))
    fault = faults.get(f"{job.number}-{job.attempt}", faults.get(str(job.number)))
    say("sleeping")
    time.sleep(SLEEP_S)
    outcome = _outcome(job)
    return FAULTS[fault](outcome) if fault else outcome


def _log(job: Job) -> None:
    folder = os.environ.get("REID_PARETO_FAKE_LOG")
    if folder:
        (Path(folder) / f"{job.number}-{job.attempt}-{os.getpid()}").touch()


def _outcome(job: Job) -> dict[str, Any]:
    metrics = figures(job.payload["config"])
    folder = job.work / "artifact"
    folder.mkdir()
    (folder / "model.onnx").write_text(json.dumps(metrics))
    broken = {
        f"{limit['metric']} {limit['operator']} {limit['value']:g}": metrics["latency_ms"] - limit["value"]
        for limit in job.payload["limits"]
        if limit["metric"] == "latency_ms" and metrics["latency_ms"] > limit["value"]
    }
    if broken:
        # As the pipeline does it: the latency is known first, and nothing else is measured.
        metrics = {"latency_ms": metrics["latency_ms"]}
    return {
        "status": "infeasible" if broken else "complete",
        "metrics": metrics,
        "latency_trusted": True,
        "violations": broken,
        "stages": [{"name": "sleep", "key": "", "seconds": SLEEP_S, "cached": False}],
        "artifact": None if broken else str(folder),
        "protocol": "fake",
    }


def _raises(error: Exception) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def fail(outcome: dict[str, Any]) -> dict[str, Any]:
        raise error

    return fail


def _signals(number: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def hit(outcome: dict[str, Any]) -> dict[str, Any]:
        os.kill(os.getpid(), number)
        time.sleep(60)
        return outcome

    return hit


def _with_metric(name: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda outcome: {**outcome, "metrics": {**outcome["metrics"], name: value}}


def _without_metric(outcome: dict[str, Any]) -> dict[str, Any]:
    return {**outcome, "metrics": {"latency_ms": 0.001}}


FAULTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "raise": _raises(RuntimeError("boom \x1b[31m[red]\nsecond line")),
    "config": _raises(ConfigError("knn must be smaller")),
    "data": _raises(DataError("query/0001.jpg cannot be decoded")),
    "memory": _raises(ResourceError("out of memory")),
    "python-memory": _raises(MemoryError("no more")),
    "artifact": _raises(ArtifactError("cosine 0.5 is below 0.999")),
    "kill": _signals(signal.SIGKILL),
    "hang": _signals(signal.SIGSTOP),
    "nan": _with_metric("mAP", float("nan")),
    "inf": _with_metric("latency_ms", float("-inf")),
    "text": _with_metric("mAP", "good"),
    "missing": _without_metric,
    "no-files": lambda outcome: {**outcome, "artifact": "/nonexistent/folder"},
    "not-json": lambda outcome: {**outcome, "checks": {"x": object()}},
    "bad-stage": lambda outcome: {**outcome, "stages": [{"name": "sleep"}]},
    "untrusted": lambda outcome: {**outcome, "latency_trusted": False},
}
