"""What the page shows about one trial when it is clicked on, kept short: a page may hold ten thousand."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from results.record import Record

__all__ = ["detail", "histogram"]

_BINS = 24
_NOT_DRAWN = ("stage", "epoch", "seconds", "images_per_second", "learning_rate")
_OWN_PLACE = ("latency", "widths", "layers")


def detail(record: Record, shared: Mapping[str, Any], test: Mapping[str, Any] | None) -> dict[str, Any]:
    """The facts of one trial beside its metrics, parameters and stages; what was not recorded is left out.

    Args:
        record: the trial.
        shared: settings that all trials have in common, told elsewhere.
        test: its figures on the test split, or None.

    Returns:
        Some of: "config" (settings neither shared nor searched), "curves" ([stage, {series: values by epoch}]),
        "latency" (`histogram` of the samples), "timing" (plain figures about the timing, and where a later session
        took it), "widths" (layer -> [channels before, after]), "layers" ({"quantized": names, "float": names}),
        "checks" (plain figures), "test", "started", "finished", "host", "artifact".
    """
    searched, checks = record.params.items(), record.checks
    timing = _mapping(checks, "latency")
    told = {**_plain(timing), **_plain(_mapping(checks, "retimed"))}
    entry = {
        "config": {k: v for k, v in record.config.items() if k not in shared and (k, v) not in searched},
        "curves": _curves(record.curves),
        "latency": histogram(timing.get("samples_ms", ())),
        "timing": {name: value for name, value in told.items() if name not in record.metrics},
        "widths": {layer: pair for layer, pair in _mapping(checks, "widths").items() if _is_pair(pair)},
        "layers": {kind: _texts(names) for kind, names in _mapping(checks, "layers").items() if names},
        "checks": _plain({name: value for name, value in checks.items() if name not in _OWN_PLACE}),
        "test": _plain({**(test or {}), **_mapping(test or {}, "metrics")}),
        "started": record.started_at[:19],
        "finished": record.finished_at[:19],
        "host": record.worker.get("host"),
        "artifact": record.artifact,
    }
    return {name: value for name, value in entry.items() if value not in (None, {}, [])}


def histogram(samples: Any) -> dict[str, Any] | None:
    """Timing samples as 24 bins of equal width from the least to the 99th percentile.

    Args:
        samples: milliseconds; anything but a list of at least two numbers gives None.

    Returns:
        "from" and "to" in milliseconds, "counts" of the bins, "above": samples beyond the last bin.
    """
    if not isinstance(samples, Sequence) or isinstance(samples, str) or len(samples) < 2:
        return None
    if not all(type(value) in (int, float) for value in samples):
        return None
    values = np.array(samples, dtype=np.float64)
    values.sort()
    low, high = float(values[0]), float(values[math.ceil(0.99 * len(values)) - 1])
    if low == high:
        high = low + (abs(low) or 1.0) * 1e-3
    # np.histogram takes ten times as long, which ten thousand trials are made to feel.
    places = ((values[values <= high] - low) * (_BINS / (high - low))).astype(np.int64)
    counts = np.bincount(np.minimum(places, _BINS - 1), minlength=_BINS)
    return {
        "from": _short(low, 5),
        "to": _short(high, 5),
        "counts": counts.tolist(),
        "above": len(values) - int(counts.sum()),
    }


def _curves(entries: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """[stage, {series: values}] for each stage in the order of the work; epochs that lack a series give None."""
    stages: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        stages.setdefault(str(entry.get("stage", "training")), []).append(entry)
    curves = []
    for stage, epochs in stages.items():
        names = dict.fromkeys(name for epoch in epochs for name in _plain(epoch) if name not in _NOT_DRAWN)
        series = {name: [_rounded(epoch.get(name)) for epoch in epochs] for name in names}
        curves.append([stage, series])
    return curves


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that fit one line: numbers, texts, yes and no."""
    return {
        name: value for name, value in values.items() if isinstance(value, int | float | str) and value != ""
    }


def _short(value: float, digits: int = 4) -> float:
    return float(f"{value:.{digits}g}")


def _rounded(value: Any) -> float | None:
    return _short(value) if type(value) in (int, float) else None


def _mapping(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values.get(name)
    return value if isinstance(value, Mapping) else {}


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(item) is int for item in value)


def _texts(names: Any) -> list[str]:
    return [str(name) for name in names] if isinstance(names, list) else []
