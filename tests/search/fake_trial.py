"""A trial that computes nothing: its figures are a formula of its parameters, and it fails when told to.

Which trial fails and how comes from REID_PARETO_FAKE, a JSON mapping from "NUMBER" or "NUMBER-ATTEMPT" to one of
the names in `FAULTS`; REID_PARETO_FAKE_BROKEN names a GPU on which every trial meets an ECC error;
REID_PARETO_FAKE_LOG names a folder in which every execution leaves a file that says where it ran, and its children.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

from reid.errors import ArtifactError, ConfigError, DataError, OutOfMemory
from reid.timing import DeviceLock
from search.contact import Contact
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


def run(job: Job, say: Contact) -> dict[str, Any]:
    """Sleep a little, then return figures or fail."""
    _log(job)
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if device and device == os.environ.get("REID_PARETO_FAKE_BROKEN"):
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
    faults = json.loads(os.environ.get("REID_PARETO_FAKE", "{}"))
    fault = faults.get(f"{job.number}-{job.attempt}", faults.get(str(job.number)))
    say("sleeping")
    if fault in TALKING:
        TALKING[fault](job, say)
    time.sleep(SLEEP_S)
    if fault in TALKING:
        fault = None
    outcome = _outcome(job)
    return FAULTS[fault](outcome) if fault else outcome


def _log(job: Job) -> None:
    folder = os.environ.get("REID_PARETO_FAKE_LOG")
    if folder:
        where = {
            "raylet": os.getppid(),
            "device": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "at": time.time(),
            "identities": job.payload["config"].get("identities_per_batch"),
        }
        (Path(folder) / f"{job.number}-{job.attempt}-{os.getpid()}").write_text(json.dumps(where))


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


def _steps(job: Job, contact: Contact) -> None:
    """Forty short steps; those done stay in the cache, as epochs do."""
    done = Path(job.payload["study"]) / "cache" / f"steps-{job.number}"
    done.parent.mkdir(exist_ok=True)
    for step in range(len(done.read_bytes()) if done.exists() else 0, 40):
        time.sleep(0.2)
        with done.open("ab") as file:
            file.write(bytes([step]))
        contact.go_on()


def _epochs(job: Job, contact: Contact) -> None:
    """Eight epochs whose accuracy nears its last; each but the last is reported."""
    last = figures(job.payload["config"])
    curves: list[dict[str, Any]] = []
    for epoch in range(8):
        time.sleep(0.1)
        now = {**last, "mAP": last["mAP"] * (1 - 0.5 ** (epoch + 1))}
        curves.append({"stage": "finetune", "epoch": epoch, "val_mAP": now["mAP"]})
        so_far = {"status": "stopped", "metrics": now, "latency_trusted": True, "curves": list(curves)}
        if epoch < 7:  # after its last epoch a trial has nothing left to save
            contact.report(epoch + 1, now, {**so_far, "protocol": "fake"})
        contact.go_on()


def _deaf(job: Job, contact: Contact) -> None:
    """A step that does not end in time."""
    time.sleep(120)


def _endless(job: Job, contact: Contact) -> None:
    with contact.stage("dense-endless"):
        while True:
            time.sleep(0.1)


def _prints(job: Job, contact: Contact) -> None:
    print("printed by python")
    os.system("echo printed by a child")


def _children(job: Job, contact: Contact) -> None:
    """Dies with a child of its own and a segment of shared memory."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    segment = SharedMemory(create=True, size=4096)
    left = Path(os.environ["REID_PARETO_FAKE_LOG"]).parent / "left.json"
    left.write_text(json.dumps({"child": child.pid, "segment": segment.name}))
    os.kill(os.getpid(), signal.SIGKILL)


def _hangs(job: Job, contact: Contact) -> None:
    """Stopped while it holds the device."""
    with DeviceLock("cpu").shared():
        os.kill(os.getpid(), signal.SIGSTOP)


TALKING: dict[str, Callable[[Job, Contact], None]] = {
    "epochs": _epochs,
    "steps": _steps,
    "deaf": _deaf,
    "endless": _endless,
    "prints": _prints,
    "children": _children,
    "hang": _hangs,
}

FAULTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "raise": _raises(RuntimeError("boom \x1b[31m[red]\nsecond line")),
    "config": _raises(ConfigError("knn must be smaller")),
    "data": _raises(DataError("query/0001.jpg cannot be decoded")),
    "memory": _raises(OutOfMemory("out of memory")),
    "python-memory": _raises(MemoryError("no more")),
    "artifact": _raises(ArtifactError("cosine 0.5 is below 0.999")),
    "kill": _signals(signal.SIGKILL),
    "nan": _with_metric("mAP", float("nan")),
    "inf": _with_metric("latency_ms", float("-inf")),
    "text": _with_metric("mAP", "good"),
    "missing": _without_metric,
    "no-files": lambda outcome: {**outcome, "artifact": "/nonexistent/folder"},
    "not-json": lambda outcome: {**outcome, "checks": {"x": object()}},
    "bad-stage": lambda outcome: {**outcome, "stages": [{"name": "sleep"}]},
    "untrusted": lambda outcome: {**outcome, "latency_trusted": False},
}
