"""How long a network takes to become an ONNX graph, anew and again with other weights.

    python -m benchmarks.export_time [--rounds 3]

Run from the repository. "plain" is torch's exporter alone;
"first" is ours, "again" ours for a network that differs from the last in its weights only. In turns, one thread; the
median of the rounds. Writes results/export-time-<device>.json.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import nn

from benchmarks.device import one_thread, write_result
from reid.export import structure
from reid.export.trace import trace
from reid.models import build

NETWORKS = ("resnet18", "osnet_x0_25")
SIZE = (128, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    one_thread()
    trace(build("resnet18", 1), 64, 32)  # the first export of a process imports the exporter
    write_result("export-time", {name: _times(name, rounds) for name in NETWORKS})


def _times(name: str, rounds: int) -> dict[str, Any]:
    taken: dict[str, list[float]] = {"plain": [], "first": [], "again": []}
    for _ in range(rounds):
        structure.forget()
        taken["plain"].append(_seconds(partial(_plain, build(name, 1).eval())))
        for way in ("first", "again"):
            taken[way].append(_seconds(partial(trace, build(name, 1), *SIZE)))
    seconds = {way: median(values) for way, values in taken.items()}
    return {f"{way}_s": round(value, 2) for way, value in seconds.items()} | {
        f"plain_over_{way}": round(seconds["plain"] / seconds[way], 2) for way in ("first", "again")
    }


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _plain(model: nn.Module) -> object:
    images = torch.zeros(2, 3, *SIZE)
    free = ({0: torch.export.Dim("batch")},)
    return torch.onnx.export(model, (images,), dynamo=True, verbose=False, dynamic_shapes=free)


if __name__ == "__main__":
    main()
