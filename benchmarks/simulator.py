"""The search itself at scale, in virtual time: what 10,000 trials with faults cost, and how it scales with workers.

python -m benchmarks.simulator [--trials 10000] [--scaling-trials 2560]
"""

import argparse
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import spaces
from benchmarks.device import write_result
from search.simulator.landscape import load_landscape
from search.simulator.run import simulate

WORKERS = (1, 2, 4, 8, 64)


def resident_mib() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def soak(trials: int) -> dict[str, Any]:
    """Trials lost, doubled or left running under 5 % faults, and what one costs."""
    space, landscape = spaces.load("market-osnet"), load_landscape("market-osnet")
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "warm", space, landscape, trials=100, workers=32, sampler="random")
        before, started = resident_mib(), time.perf_counter()
        done = simulate(
            Path(folder) / "study", space, landscape, trials=trials, workers=32, sampler="random", faults=0.05
        )
        seconds, after = time.perf_counter() - started, resident_mib()
        numbers = Counter(record.number for record in done.study.records())
        return {
            "trials": trials,
            "lost": len(set(range(trials)) - set(numbers)),
            "double": sum(count > 1 for count in numbers.values()),
            "running": len(done.study.started()),
            "ms_per_trial": seconds * 1e3 / trials,
            "memory_growth_mib": after - before,
            "failed": sum(record.status == "failed" for record in done.study.records()),
        }


def scaling(trials: int) -> dict[str, dict[str, float]]:
    """Trials an hour of virtual time, and the share of what so many workers could do."""
    space, landscape = spaces.load("market-osnet"), load_landscape("market-osnet")
    figures: dict[str, dict[str, float]] = {}
    for workers in WORKERS:
        with tempfile.TemporaryDirectory() as folder:
            done = simulate(
                Path(folder) / "s", space, landscape, trials=trials, workers=workers, sampler="random"
            )
        rate = trials / (done.cluster.clock_s / 3600)
        alone = figures["1"]["trials_per_hour"] if figures else rate
        figures[str(workers)] = {"trials_per_hour": rate, "efficiency": rate / alone / workers}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--scaling-trials", type=int, default=2560)
    options = parser.parse_args()
    write_result("simulator", {"soak": soak(options.trials), "scaling": scaling(options.scaling_trials)})


if __name__ == "__main__":
    main()
