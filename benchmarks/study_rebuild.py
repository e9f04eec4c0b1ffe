"""A sampler rebuilt from the records of a long study: what a resume waits for before its first new trial.

Run from the repository: python -m benchmarks.study_rebuild [--trials 10000]
"""

import argparse
import random
import time

from benchmarks.device import write_result
from search.feedback import Told
from search.sampler import make_sampler
from spaces import load

SAMPLERS = ("tpe", "nsga2", "random")


def told_history(trials: int) -> list[Told]:
    """Finished trials of the demo's space with figures drawn at random."""
    rng = random.Random(0)
    return [
        Told(
            number=number,
            params={"prune_rate": rng.uniform(0.3, 0.8), "decay_rate": 0.5, "knn": 3, "input_size": [96, 48],
                    "quantization": "fp32"},
            values={"mAP": rng.random(), "latency_ms": rng.random()},
            constraints={"other": 0.0},
        )
        for number in range(trials)
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    trials = parser.parse_args().trials
    space, history = load("demo"), told_history(trials)
    seconds = {}
    for name in SAMPLERS:
        start = time.perf_counter()
        sampler = make_sampler(name, space, 0)
        sampler.rebuild(history)
        rebuilt = time.perf_counter()
        sampler.ask(trials)
        seconds[name] = {"rebuild_s": rebuilt - start, "first_ask_s": time.perf_counter() - rebuilt}
    write_result("study-rebuild", {"trials": trials, "samplers": seconds})


if __name__ == "__main__":
    main()
