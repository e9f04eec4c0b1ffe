"""Studies of any size out of formulas and a seed: for screenshots, for tests, and for times at 10,000 trials.

The figures behave as those of a search do (accuracy falls with the prune rate, latency with size, rate and scheme)
and are nobody's measurement.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from results.record import Record
from results.report_data import Snapshot

__all__ = ["DEFINITION", "snapshot", "synthetic_baseline", "synthetic_records"]

DEFINITION: dict[str, Any] = {
    "name": "synthetic",
    "space": {},
    "dataset": {"name": "generated", "fingerprint": "00" * 32, "root": "generated"},
    "objectives": {"mAP": "maximize", "latency_ms": "minimize"},
    "limits": ["latency_ms <= 0.9 * baseline", "mAP >= baseline - 0.30"],
    "target": {"runtime": "onnxruntime", "device": "cpu", "threads": 1, "batch": 1},
    "protocol": "none: every figure comes from a formula",
    "reference_point": None,
    "seed": 0,
    "sampler": "tpe",
    "versions": {},
}
LAYERS = {
    f"stage{stage}.block{block}.conv{conv}": 64 * 2**stage
    for stage in range(4)
    for block in range(2)
    for conv in range(3)
}
SIZES = [[256, 128], [192, 96], [160, 64], [128, 64]]
BEGUN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
DENSE = {
    "mAP": 0.84,
    "rank1": 0.935,
    "latency_ms": 16.0,
    "size_bytes": 44_900_000,
    "macs": 1.19e9,
    "params": 1.12e7,
}
FAILURES = (
    ("ResourceError", "the trainer was killed for memory at batch 64; it was tried twice"),
    ("ArtifactError", "exported and torch embeddings agree to a cosine of 0.9871 only"),
    ("LostWorker", "the worker on node-2 went away during finetune"),
)


def synthetic_baseline() -> Record:
    """The dense network of every synthetic study."""
    return _record(-1, {}, np.random.default_rng(0), 0.0, DENSE)


def synthetic_records(count: int, seed: int = 0) -> list[Record]:
    """`count` trials: of a hundred, about eighty-five are complete, eight infeasible, four failed, three untrusted."""
    rng = np.random.default_rng(seed)
    return [_trial(number, rng) for number in range(count)]


def snapshot(count: int, seed: int = 0) -> Snapshot:
    """A study with so many trials, as if it had just been read."""
    baseline = synthetic_baseline()
    return Snapshot(
        path="studies/synthetic",
        definition=DEFINITION,
        objectives=DEFINITION["objectives"],
        baseline=baseline,
        reference={"mAP": 0.0, "latency_ms": baseline.metrics["latency_ms"]},
        trials=tuple(synthetic_records(count, seed)),
        tests={},
        again={},
        gone=frozenset(),
    )


def _trial(number: int, rng: np.random.Generator) -> Record:
    rate, size = float(rng.uniform(0.1, 0.95)), SIZES[int(rng.integers(4))]
    scheme = "int8-static" if rng.random() < 0.5 else "fp32"
    params = {
        "prune_rate": rate, "decay_rate": float(rng.uniform(0, 0.9)), "knn": int(rng.integers(2, 7)),
        "input_size": size, "quantization": scheme,
    }  # fmt: skip
    area, kept = size[0] * size[1] / (256 * 128), 1 - rate
    coarse = 0.012 if scheme != "fp32" else 0.0
    loss = 0.28 * rate**3 + 0.05 * (1 - area) ** 2 + coarse + rng.gamma(2.0, 0.018)
    speed = (0.12 + 0.88 * kept**1.6) * area * (0.55 if scheme != "fp32" else 1)
    metrics = {
        "mAP": max(0.02, DENSE["mAP"] - loss),
        "latency_ms": DENSE["latency_ms"] * max(0.02, speed) * float(rng.lognormal(0, 0.05)),
        "size_bytes": round(DENSE["size_bytes"] * kept**1.3 * (0.26 if scheme != "fp32" else 1)),
        "macs": round(DENSE["macs"] * kept**1.6 * area),
        "params": round(DENSE["params"] * kept**1.3),
    }
    metrics["rank1"] = min(0.99, metrics["mAP"] + 0.095)
    return _record(number, params, rng, rate, metrics)


def _record(
    number: int, params: dict[str, Any], rng: np.random.Generator, rate: float, metrics: Mapping[str, float]
) -> Record:
    latency = metrics["latency_ms"]
    spreads = 1 + rng.gamma(1.5, 0.02, 200)
    samples = latency * spreads / np.median(spreads)
    spread = {f"latency_p{p}_ms": float(np.percentile(samples, p)) for p in (10, 90)}
    fate = rng.random() if number >= 0 else 1.0
    over = fate < 0.08
    failed = 0.08 <= fate < 0.12
    begun = BEGUN + timedelta(minutes=6 * (number + 1))
    values: dict[str, Any] = {
        "number": number,
        "status": "failed" if failed else "infeasible" if over else "complete",
        "params": params,
        "config": {"backbone": "resnet18", "method": "bafd", "seed": 0, **params},
        "metrics": {} if failed else _early(metrics, latency, spread, number) if over
        else {**metrics, "latency_ms": latency, **spread, "latency_ratio": latency / DENSE["latency_ms"]},
        "latency_trusted": not failed and not over and fate >= 0.15,
        "violations": {"latency_ms <= 0.9 * baseline": float(rng.uniform(0.1, 3))} if over else {},
        "error": dict(zip(("kind", "message"), FAILURES[number % 3], strict=True)) if failed else None,
        "stages": [] if failed else _stages(number, rate),
        "curves": [] if failed or over else _curves(rng),
        "checks": {} if failed or over else _checks(rng, rate, samples, fate >= 0.15),
        "artifact": None if failed or over else f"artifacts/{number:06d}",
        "started_at": begun.isoformat(timespec="milliseconds"),
        "finished_at": (begun + timedelta(minutes=11)).isoformat(timespec="milliseconds"),
        "worker": {"host": f"node-{number % 3}"},
        "protocol": DEFINITION["protocol"],
    }  # fmt: skip
    return Record(**values)


def _early(
    metrics: Mapping[str, float], latency: float, spread: Mapping[str, float], number: int
) -> dict[str, float]:
    """What a trial measured that a limit ended: the cost alone, or, every third time, all."""
    cost = {"latency_ms": latency, **spread, "size_bytes": metrics["size_bytes"]}
    return {**metrics, **cost} if number % 3 == 0 else cost


def _stages(number: int, rate: float) -> list[dict[str, Any]]:
    shared = number % 4 != 0
    names = (("data", 1.2, False), ("dense", 0.1 if shared else 212.0, shared), ("early_time", 14.0, False),
             ("prune", 61.0 + 10 * rate, False), ("finetune", 240.0, False), ("export", 8.0, False),
             ("evaluate", 4.0, False), ("time", 9.0, False))  # fmt: skip
    keys = {name: f"{name}-{number}" for name in ("prune", "finetune", "export", "evaluate")}
    keys["dense"] = f"dense-{number // 4}"
    return [
        {
            "name": name,
            "key": keys.get(name, ""),
            "seconds": seconds,
            "cached": cached,
        }
        for name, seconds, cached in names
    ]


def _curves(rng: np.random.Generator) -> list[dict[str, Any]]:
    return [
        {
            "stage": stage,
            "epoch": epoch,
            "loss": float(start * math.exp(-0.25 * epoch) + rng.uniform(0, 0.2)),
            "seconds": 30.0,
        }
        for stage, start, epochs in (("prune", 5.0, 4), ("finetune", 3.0, 10))
        for epoch in range(epochs)
    ]


def _checks(rng: np.random.Generator, rate: float, samples: np.ndarray, trusted: bool) -> dict[str, Any]:
    widths = {
        name: [width, max(1, round(width * (1 - rate * rng.uniform(0.6, 1.2))))]
        for name, width in LAYERS.items()
    }
    reason = "" if trusted else "p90 is 1.31 times the median, more than 1.2"
    return {
        "parity_min_cosine": 0.999998,
        "latency": {
            "samples_ms": samples.round(6).tolist(),
            "trusted": trusted,
            "reason": reason,
            "attempts": 1,
        },
        "widths": widths,
        "layers": {"quantized": list(LAYERS)[1:], "float": [*list(LAYERS)[:1], "embedding"]},
    }
