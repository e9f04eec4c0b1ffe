"""How long BAFD takes to choose filters of the widest ResNet-18 layer, beside a plain loop over the filters.

Both begin with the same distances, so that the ratio tells of the selection alone. All ranked layers of ResNet-50, once
ranked and once chosen from, give the cost of an epoch.

python -m benchmarks.bafd_selection
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from benchmarks.device import one_thread, write_result
from reid.models import build
from reid.prune import bafd_local_ranking, bafd_selection, find_units
from reid.prune.allocate import ranked_units, unit_filters
from reid.prune.selection import filter_distances

SHAPE, KNN, RATE, RUNS = (512, 512, 3, 3), 2, 0.9, 9


def start_over(distances: np.ndarray, knn: int, count: int, keep_largest: bool) -> list[int]:
    """Remove filters one by one and compute the power of each filter anew after each; ties as in the method."""
    left = list(range(len(distances)))
    removed = []
    for _ in range(count):
        powers = np.array([np.sort(distances[filter_, left])[:knn].sum() for filter_ in left])
        extreme = powers.max() if keep_largest else powers.min()
        tied = np.flatnonzero(np.isclose(powers, extreme))
        sums = np.array([distances[left[place], left].sum() for place in tied])
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
        figures[f"{name}_over_distances"] = median(samples) / float(str(figures["distances_ms"]))
    figures |= resnet50_s()
    write_result("bafd-selection", figures)


def resnet50_s() -> dict[str, float]:
    """Seconds for all ranked layers of ResNet-50: rates once, a choice at rate 0.9 in both modes."""
    model = build("resnet50", 751)
    layers = [unit_filters(model, unit).numpy() for unit in ranked_units(model, find_units(model, "inner"))]
    figures: dict[str, float] = {"resnet50_layers": len(layers)}
    ranked = timed_ms(lambda: [bafd_local_ranking(layer, KNN) for layer in layers], 3)
    figures["resnet50_ranking_s"] = median(ranked) / 1e3
    for efficient in (False, True):
        chosen = timed_ms(lambda: [bafd_selection(layer, KNN, RATE, efficient) for layer in layers], 3)  # noqa: B023
        figures[f"resnet50_{'efficient' if efficient else 'exact'}_s"] = median(chosen) / 1e3
    return figures


if __name__ == "__main__":
    main()
