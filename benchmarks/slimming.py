"""What slimming saves: size and latency of five backbones at four prune rates in both scopes.

    python -m benchmarks.slimming --work FOLDER
    python -m benchmarks.slimming --small

Untrained networks, every unit at the same rate, channels chosen by chance: neither weights nor choice changes the
speed. The files of one backbone are timed in turns (onnxruntime, one thread, batch 1); run it on an idle machine. What
is finished is kept in FOLDER, so the same command goes on where it was stopped; delete a backbone's file to time it
again. "rises" names pairs where fewer multiply-accumulates took more than 10 % more time.
Writes results/slimming-<device>.json.
"""

import argparse
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.device import one_thread, write_result
from reid.config import Target
from reid.data import MEAN, STD
from reid.export import InputSpec, export_onnx
from reid.files import read_json, write_json
from reid.models import ReIDNetwork, build, count
from reid.prune import PrunePlan, Scope, find_units, kept_count, slim
from reid.runtime import open_artifact
from reid.timing import DeviceLock, compare

BACKBONES = ("resnet18", "resnet50", "densenet121", "mobilenet_v2", "osnet_x1_0")
SCOPES: tuple[Scope, ...] = ("inner", "grouped")
RATES = (0.3, 0.5, 0.7, 0.9)
ALLOWED_RISE = 1.1
Figures = dict[str, Any]


def slimmed(dense: ReIDNetwork, scope: Scope, rate: float, round_to: int) -> ReIDNetwork:
    """`dense` with every unit at one rate."""
    random = np.random.default_rng(0)
    units = find_units(dense, scope)
    kept = {}
    for unit in units:
        stay = random.permutation(unit.width)[: kept_count(unit.width, rate, round_to)]
        kept[unit.name] = tuple(sorted(stay.tolist()))
    return slim(dense, PrunePlan(units=units, kept=kept))


def files(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Figures]:
    """Size of every variant, whose files are written to `folder`; those already there are kept."""
    height, width = options.size
    torch.manual_seed(0)
    dense = build(name, 1).eval()
    rows = {}
    for scope, rate in [(None, 0.0), *((scope, rate) for scope in SCOPES for rate in options.rates)]:
        network = dense if scope is None else slimmed(dense, scope, rate, options.round_to)
        variant = "dense" if scope is None else f"{scope} {rate:g}"
        path = folder / f"{name} {variant}.onnx"
        if not path.is_file():
            dim = network.embedding_dim
            spec = InputSpec(height=height, width=width, mean=MEAN, std=STD, embedding_dim=dim)
            export_onnx(network, spec, path)
        size = count(network, (height, width))
        rows[variant] = {"params": size.params, "macs": size.macs, "size_bytes": path.stat().st_size}
    return rows


def backbone(name: str, folder: Path, options: argparse.Namespace) -> Figures:
    """The figures of one backbone, or those that an earlier run left."""
    height, width = options.size
    rates = "-".join(f"{rate:g}" for rate in options.rates)
    folder = folder / f"{height}x{width}, multiples of {options.round_to}"
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"{name}, {rates}.json"
    if done.is_file():
        found: Figures = read_json(done)
        return found
    rows = files(name, folder, options)
    target = Target(runtime="onnxruntime", device="cpu", threads=1, batch=1)
    timers = [open_artifact(folder / f"{name} {variant}.onnx", target).timer() for variant in rows]
    timing = compare(timers, lock=DeviceLock("cpu"), rounds=options.rounds, seconds=options.seconds)
    ratios = np.median(timing.rounds_ms / timing.rounds_ms[0], axis=1)
    for row, latency_ms, ratio in zip(rows.values(), timing.medians_ms, ratios, strict=True):
        row |= {"latency_ms": round(float(latency_ms), 3), "latency_ratio": round(float(ratio), 4)}
        row["macs_ratio"] = round(row["macs"] / rows["dense"]["macs"], 4)
    found = {"trusted": timing.trusted, "reason": timing.reason, "variants": rows, "rises": rises(rows)}
    write_json(done, found)
    return found


def rises(rows: dict[str, Figures]) -> list[str]:
    """Pairs of variants where the one with fewer MACs is slower by more than 10 %."""
    by_macs = sorted(rows.items(), key=lambda pair: int(pair[1]["macs"]))
    return [
        f"{cheap} over {dear}"
        for (cheap, low), (dear, high) in combinations(by_macs, 2)
        if low["latency_ms"] > ALLOWED_RISE * high["latency_ms"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, help="keeps what is finished")
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES))
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    parser.add_argument("--size", nargs=2, type=int, default=[256, 128], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--round-to", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument(
        "--small", action="store_true", help="ResNet-18 and rates 0.5 and 0.9 only, few rounds"
    )
    options = parser.parse_args()
    one_thread()
    if options.small:
        options.backbones, options.rates, options.rounds, options.seconds = ["resnet18"], [0.5, 0.9], 5, 0.2
    work = options.work or Path(tempfile.mkdtemp(prefix="slimming-"))
    work.mkdir(parents=True, exist_ok=True)
    found = {name: backbone(name, work, options) for name in options.backbones}
    figures: Figures = {
        "threads": 1, "batch": 1, "input_size": options.size, "round_to": options.round_to, "backbones": found,
        "rises": sum(len(each["rises"]) for each in found.values()),
    }  # fmt: skip
    grouped = found.get("resnet18", {}).get("variants", {}).get("grouped 0.5")
    if grouped:
        figures["resnet18_grouped_half_speedup"] = round(1 / grouped["latency_ratio"], 3)
    write_result("slimming", figures)


if __name__ == "__main__":
    main()
