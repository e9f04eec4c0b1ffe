"""The front of 1,000,000 two-objective points, and the hypervolume of a front of 10,000.

Run from the repository: python -m benchmarks.front [--rounds 7]
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.device import one_thread, write_result
from results.front import pareto_front
from results.hypervolume import hypervolume

POINTS, FRONT = 1_000_000, 10_000
BOTH = ["maximize", "minimize"]
ALL_FOUR = ["maximize", "minimize", "minimize", "minimize"]


def clouds() -> dict[str, NDArray[np.float64]]:
    """Accuracy and cost: a cloud as a search leaves it, the two extremes, and one with many equal points."""
    random = np.random.default_rng(0).random((POINTS, 2))
    line = random.copy()
    line[:, 1] = line[:, 0]
    return {
        "random": random,
        "all_on_the_front": line,
        "all_equal": np.ones((POINTS, 2)),
        "a_thousand_values": np.round(random, 3),
    }


def seconds(work: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median wall and processor seconds of one call."""
    taken = []
    for _ in range(rounds):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - wall, time.process_time() - processor))
    return {"wall_s": median(w for w, _ in taken), "processor_s": median(p for _, p in taken)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    one_thread()
    angle = np.sort(np.random.default_rng(1).uniform(0, np.pi / 2, FRONT))
    arc = np.column_stack([np.sin(angle), 1 - np.cos(angle)])
    many = np.random.default_rng(2).random((FRONT, 4))
    sphere = np.abs(np.random.default_rng(3).normal(size=(FRONT, 3)))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    figures = {
        "points": POINTS,
        "rounds": rounds,
        "pareto_front": {
            name: seconds(lambda p=p: pareto_front(p, BOTH), rounds) for name, p in clouds().items()
        },
        "hypervolume_of_a_front_of_10000": seconds(lambda: hypervolume(arc, BOTH, [0.0, 1.0]), rounds),
        "pareto_front_of_10000_points_in_4_objectives": seconds(lambda: pareto_front(many, ALL_FOUR), rounds),
        "hypervolume_of_a_front_of_10000_in_3_objectives": seconds(
            lambda: hypervolume(sphere, ["maximize"] * 3, np.zeros(3)), rounds
        ),
        # The arc is a quarter of the unit disc.
        "hypervolume_over_its_limit": hypervolume(arc, BOTH, [0.0, 1.0]) / (np.pi / 4),
    }
    write_result("front", figures)


if __name__ == "__main__":
    main()
