"""How long BAFD takes to choose filters of the widest ResNet-18 layer, and a loop that starts over each time.

Both begin with the same distances, so that the ratio tells of the selection alone.

python -m benchmarks.bafd_selection
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from benchmarks.device import one_thread, write_result
from reid.prune.selection import bafd_selection, filter_distances

SHAPE, KNN, RATE, RUNS = (512, 512, 3, 3), 2, 0.9, 9


def start_over(distances: np.ndarray, knn: int, count: int, keep_largest: bool) -> list[int]:
    """Remove filters one by one and compute all powers anew after each; ties as in the method."""
    left = list(range(len(distances)))
    removed = []
    for _ in range(count):
        among = distances[np.ix_(left, left)]
        powers = np.sort(among, axis=1)[:, :knn].sum(axis=1)
        extreme = powers.max() if keep_largest else powers.min()
        tied = np.flatnonzero(np.isclose(powers, extreme))
        sums = among[tied].sum(axis=1)
        removed.append(left.pop(tied[sums.argmax() if keep_largest else sums.argmin()]))
    return removed


def start_over_selection(weight: np.ndarray, efficient: bool) -> list[int]:
    distances = filter_distances(weight)
    gone = int(len(distances) * RATE)
    if not efficient:
        return sorted(start_over(distances, KNN, gone, False))
    return sorted(set(range(len(distances))) - set(start_over(distances, KNN, len(distances) - gone, True)))


def timed_ms(run: Callable[[], object], runs: int = RUNS) -> list[float]:
    samples = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        samples.append((time.perf_counter() - start) * 1e3)
    return samples


def main() -> None:
    one_thread()
    weight = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    figures: dict[str, object] = {"shape": SHAPE, "knn": KNN, "rate": RATE, "threads": 1, "runs": RUNS}
    figures["distances_ms"] = median(timed_ms(lambda: filter_distances(weight)))
    for efficient in (False, True):
        name = "efficient" if efficient else "exact"
        ours, plain = bafd_selection(weight, KNN, RATE, efficient), start_over_selection(weight, efficient)
        assert ours.tolist() == plain, "the two selections differ"
        samples = timed_ms(lambda: bafd_selection(weight, KNN, RATE, efficient))  # noqa: B023 - called at once
        plain_ms = median(timed_ms(lambda: start_over_selection(weight, efficient), 3))  # noqa: B023
        figures[f"{name}_ms"] = median(samples)
        figures[f"{name}_samples_ms"] = samples
        figures[f"{name}_loop_ms"] = plain_ms
        figures[f"{name}_speedup"] = plain_ms / median(samples)
    write_result("bafd-selection", figures)


if __name__ == "__main__":
    main()
