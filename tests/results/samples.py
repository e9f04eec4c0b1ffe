"""Realistic facts for the tests of this room."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results import Record, Study, create_study

DEFINITION: dict[str, Any] = {
    "name": "market-resnet18",
    "space": {"parameters": {"prune_rate": {"float": [0.3, 0.95]}, "decay_rate": {"float": [0.0, 0.9]}}},
    "dataset": {"name": "market1501", "fingerprint": "ab" * 32, "root": "/data/market"},
    "objectives": {"mAP": "maximize", "latency_ms": "minimize"},
    "limits": ["latency_ms <= 8"],
    "target": {"runtime": "onnxruntime", "device": "cpu", "threads": 1, "batch": 1},
    "protocol": "single-query, same camera removed, rectangular AP, validation identities",
    "reference_point": {"mAP": 0.0, "latency_ms": 20.0},
    "seed": 0,
    "sampler": "tpe",
    "versions": {"reid-pareto": "0.1.0", "torch": "2.13.0"},
}


def make_study(folder: Path, **changes: Any) -> Study:
    """A new study in `folder/study`."""
    return create_study(folder / "study", {**DEFINITION, **changes})


def make_record(number: int = 12, **changes: Any) -> Record:
    """A complete, feasible trial with a trusted latency, unless `changes` say otherwise."""
    values: dict[str, Any] = {
        "number": number,
        "attempt": 1,
        "status": "complete",
        "params": {
            "prune_rate": 0.7, "decay_rate": 0.3, "knn": 2, "input_size": [128, 64], "quantization": "fp32",
        },
        "config": {"backbone": "resnet18", "method": "bafd", "prune_rate": 0.7, "input_size": [128, 64]},
        "metrics": {
            "mAP": 0.7134, "mAP_trapezoid": 0.7162, "rank1": 0.8846, "rank5": 0.9512, "rank10": 0.9707,
            "latency_ms": 4.81, "latency_p10_ms": 4.77, "latency_p90_ms": 4.93, "latency_ratio": 0.2957,
            "size_bytes": 2_311_404, "macs": 187_400_192, "params": 571_208,
        },
        "latency_trusted": True,
        "stages": [
            {"name": "dense", "key": "dense-" + "0" * 32, "seconds": 0.25, "cached": True},
            {"name": "prune", "key": "prune-" + "1" * 32, "seconds": 61.5, "cached": False},
        ],
        "curves": [{"stage": "prune", "epoch": n, "loss": loss} for n, loss in ((0, 1.25), (1, 0.75))],
        "checks": {"parity_min_cosine": 0.99999, "slim_max_abs_difference": 2.5e-6},
        "artifact": f"artifacts/{number:06d}",
        "started_at": "2026-11-21T08:00:00.000+00:00",
        "finished_at": "2026-11-21T08:01:02.500+00:00",
        "worker": {"host": "node-1", "device": "cpu"},
        "versions": {"torch": "2.13.0"},
        "protocol": DEFINITION["protocol"],
    }  # fmt: skip
    return Record(**{**values, **changes})


def failed_record(number: int, kind: str = "ConfigError", message: str = "knn must be at least 2") -> Record:
    """A trial that failed before it measured anything."""
    nothing: dict[str, Any] = {"metrics": {}, "latency_trusted": False, "checks": {}, "artifact": None}
    return make_record(
        number, status="failed", error={"kind": kind, "message": message}, stages=[], curves=[], **nothing
    )


def with_metrics(number: int, metrics: Mapping[str, float], **changes: Any) -> Record:
    """A complete trial with these metrics in place of the usual ones."""
    return make_record(number, metrics={**make_record().metrics, **metrics}, **changes)
