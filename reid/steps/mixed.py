"""Step 6 for int8-mixed: which layers become int8 is decided by measured latency and measured harm.

A profile of the fp32 and of the int8 file tells what each layer costs in both; minimum cuts give a few promising
assignments; then whole files are timed in turns, with the fp32 and the int8-static file among them, and judged by
calibration images. What is kept is therefore never slower than fp32, nor than int8-static where that is allowed.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from reid.export import MODEL_FILE, Artifact
from reid.export.metadata import write_metadata
from reid.files import remove_tree, write_atomic, write_json
from reid.quantize.assignment import LayerCosts, cheapest_floats, layer_edges, layer_times
from reid.quantize.choice import Candidate, choose
from reid.quantize.ranges import Calibrated
from reid.quantize.schemes import Layers, write_quantized
from reid.runtime import open_artifact
from reid.runtime.profile import kernel_times_ms
from reid.steps.data import TrialData
from reid.steps.harm import Judge, layer_harm
from reid.steps.workshop import Workshop
from reid.timing import Comparison, compare

__all__ = ["choose_mixed"]

_CAUTIONS = (1.0, 1.2, 1.5)
_SWITCHES = (1.0, 3.0)
# What all harm together is worth, as a share of the fp32 latency: enough to break ties, too little to lose speed.
_HARM_SHARE = 0.03
_MOST_FLOAT_BY_HARM = (0.1, 0.25, 0.5)
# Validation identities are harder than training identities, whose images judge here.
_SHARE_OF_DROP = 0.5
_ROUNDS, _SECONDS = 8, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """What every candidate is made from and measured with."""

    work: Workshop
    artifact: Artifact
    start: Calibrated
    costs: Mapping[str, LayerCosts]
    judge: Judge | None
    folder: Path


def choose_mixed(
    work: Workshop,
    data: TrialData,
    exported: Artifact,
    start: Calibrated,
    folder: Path,
    *,
    quick: bool = False,
) -> Layers:
    """Write the mixed file and, as mixed.json, how it was chosen.

    Args:
        work: the trial; its lock is held exclusively while files are timed.
        data: its training images judge.
        exported: the fp32 file.
        start: that file with the ranges of its activations.
        folder: of the stage.
        quick: look at latency alone: the least latency that the trial can end with.

    Returns:
        The layers by arithmetic.
    """
    costs = _costs(work, data, exported, start, quick)
    judge = None if quick else Judge.of(work, data, exported)
    bench = _Bench(work=work, artifact=exported, start=start, costs=costs, judge=judge, folder=folder)
    candidates, timing = _measure(bench, {"fp32": tuple(costs), "int8-static": (), **_cuts(start, costs)})
    trusted = timing.trusted
    most = work.config.max_quantization_drop * _SHARE_OF_DROP
    best = choose(candidates, most)
    if len(best.float_layers) == len(costs) and any(one.drop > most for one in candidates):
        # Harm ruled all of them out: revert the most harmful layers of the fastest as well.
        more, again = _measure(bench, {"fp32": tuple(costs), **_gentler(candidates, costs)})
        candidates += more
        best = choose(more, most)
        trusted &= again.trusted
    work.say(
        f"mixed: {best.name}, {len(best.float_layers)} of {len(costs)} layers float, {best.latency_ms:.2f} ms"
    )
    write_json(folder / "mixed.json", _report(best, candidates, costs, trusted=trusted))
    return _write(bench, best.float_layers, folder / MODEL_FILE)


def _costs(
    work: Workshop, data: TrialData, exported: Artifact, start: Calibrated, quick: bool
) -> dict[str, LayerCosts]:
    target = work.config.target
    images = data.images[: target.batch] if len(data.images) >= target.batch else data.images
    batch = exported.spec.normalise(np.asarray(images))
    quantized = start.graph()
    with work.lock.exclusive():
        in_float = kernel_times_ms(start.model, batch, target.threads)
        in_int8 = kernel_times_ms(quantized, batch, target.threads)
    graph = start.model.graph
    float_ms, int8_ms = layer_times(graph, in_float), layer_times(graph, in_int8)
    harm = {} if quick else layer_harm(work, data, exported.spec, start)
    return {
        layer: LayerCosts(float_ms=float_ms[layer], int8_ms=int8_ms[layer], harm=harm.get(layer, 0.0))
        for layer in float_ms
    }


def _cuts(start: Calibrated, costs: Mapping[str, LayerCosts]) -> dict[str, tuple[str, ...]]:
    """Different assignments that minimum cuts give, by a name that tells how."""
    edges = layer_edges(start.model.graph)
    total_ms = sum(cost.float_ms for cost in costs.values())
    total_harm = sum(cost.harm for cost in costs.values())
    harm_ms = _HARM_SHARE * total_ms / total_harm if total_harm else 0.0
    # A conversion reads and writes what a layer gives, as the cheapest layers do.
    switch_ms = float(np.quantile([cost.float_ms for cost in costs.values()], 0.25)) / 2
    found: dict[frozenset[str], str] = {frozenset(costs): "fp32", frozenset(): "int8-static"}
    for caution in _CAUTIONS:
        for switch in _SWITCHES:
            floats = cheapest_floats(
                costs, edges, switch_ms=switch_ms * switch, caution=caution, harm_ms=harm_ms
            )
            found.setdefault(floats, f"cut, caution {caution:g}, switch {switch:g}")
    return {name: _ordered(floats, costs) for floats, name in found.items()}


def _gentler(candidates: Iterable[Candidate], costs: Mapping[str, LayerCosts]) -> dict[str, tuple[str, ...]]:
    fastest = min(
        (one for one in candidates if len(one.float_layers) < len(costs)), key=lambda one: one.latency_ms
    )
    by_harm = sorted(costs, key=lambda layer: costs[layer].harm, reverse=True)
    return {
        f"{fastest.name}, {share:.0%} most harmful float": _ordered(
            {*fastest.float_layers, *by_harm[: max(1, round(share * len(costs)))]}, costs
        )
        for share in _MOST_FLOAT_BY_HARM
    }


def _ordered(layers: Iterable[str], costs: Mapping[str, LayerCosts]) -> tuple[str, ...]:
    chosen = set(layers)
    return tuple(layer for layer in costs if layer in chosen)


def _measure(bench: _Bench, assignments: Mapping[str, tuple[str, ...]]) -> tuple[list[Candidate], Comparison]:
    work = bench.work
    target = work.config.target
    paths = {name: bench.folder / f"candidate{at}.onnx" for at, name in enumerate(assignments)}
    with work.lock.shared():
        for name, floats in assignments.items():
            _write(bench, floats, paths[name])
    try:
        with work.lock.shared():
            runtimes = {name: open_artifact(path, target) for name, path in paths.items()}
            runs = [runtime.timer() for runtime in runtimes.values()]
        timing = compare(
            runs,
            lock=work.lock,
            rounds=_ROUNDS,
            seconds=_SECONDS,
            threads=target.threads,
            affinity=target.affinity,
        )
        judged = [bench.judge(runtime) if bench.judge else (0.0, 0.0) for runtime in runtimes.values()]
    finally:
        for path in paths.values():
            remove_tree(path)
    found = [
        Candidate(name=name, float_layers=floats, latency_ms=float(latency_ms), error=error, drop=drop)
        for (name, floats), latency_ms, (error, drop) in zip(
            assignments.items(), timing.medians_ms, judged, strict=True
        )
    ]
    return found, timing


def _write(bench: _Bench, floats: tuple[str, ...], path: Path) -> Layers:
    spec = bench.artifact.spec
    if len(floats) < len(bench.costs):
        return write_quantized(bench.start.graph(floats), spec, "int8-mixed", path)
    # Nothing is quantized: the very fp32 file, so that it is exactly as fast.
    model = onnx.load(bench.artifact.path)
    write_metadata(model, spec, "int8-mixed")
    write_atomic(path, model.SerializeToString(deterministic=True))
    return {"quantized": [], "float": list(floats)}


def _report(
    best: Candidate, candidates: Iterable[Candidate], costs: Mapping[str, LayerCosts], *, trusted: bool
) -> dict[str, Any]:
    rounded = partial(round, ndigits=6)
    return {
        "chosen": best.name,
        "trusted": trusted,
        "candidates": [
            {
                "name": one.name,
                "float_layers": len(one.float_layers),
                "latency_ms": rounded(one.latency_ms),
                "error": rounded(one.error),
                "drop": rounded(one.drop),
            }
            for one in candidates
        ],
        "float": {
            layer: {name: rounded(value) for name, value in dataclasses.asdict(costs[layer]).items()}
            | {
                "reason": "latency"
                if costs[layer].int8_ms >= costs[layer].float_ms
                else "harm or conversions"
            }
            for layer in best.float_layers
        },
    }
