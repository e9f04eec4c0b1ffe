"""Time, memory and gain of k-reciprocal re-ranking at the size of Market-1501's test split.

Run from the repository, with the dataset and weights, with features that an earlier run kept, or with neither
(random features then, and no accuracy worth a look):

    python -m benchmarks.rerank --data DATA --weights osnet_x0_25_market1501.pth --features FEATURES.npz
    python -m benchmarks.rerank --features FEATURES.npz
    python -m benchmarks.rerank
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.device import write_result
from benchmarks.rank import extra_memory_mib, market_sized
from reid.data import dataset_name, load_dataset
from reid.evaluate import Protocol, Rerank, Retrieval, rank, rank_distances, rerank
from reid.evaluate.embedder import open_weights
from reid.evaluate.examine import examine
from reid.files import write_with

BACKBONE, INPUT_SIZE = "osnet_x0_25", (256, 128)
NAMES = ("query_features", "query_ids", "query_cameras", "gallery_features", "gallery_ids", "gallery_cameras")
LIMIT_MIB = 4096


def embedded(data: Path, weights: Path) -> Retrieval:
    """The test split of a dataset, embedded."""
    dataset = load_dataset(dataset_name(data), data)
    embedder = open_weights(weights, BACKBONE, INPUT_SIZE, {})
    return examine(embedder, dataset.root, dataset.query, dataset.gallery, Protocol()).found


def arguments(options: argparse.Namespace) -> tuple[tuple[Any, ...], str]:
    """Arguments of `rank`, and what they are."""
    if options.features is not None and options.features.is_file():
        with np.load(options.features) as kept:
            return tuple(kept[name] for name in NAMES), str(kept["source"])
    if options.data is None:
        return market_sized(noise=2.5), "random, of the numbers of Market-1501"
    found = embedded(options.data, options.weights)
    sides = (found.query, found.gallery)
    arrays = tuple(array for side in sides for array in (side.features, side.ids, side.cameras))
    source = f"{BACKBONE}, {dataset_name(options.data)}"
    if options.features is not None:
        kept = dict(zip(NAMES, arrays, strict=True)) | {"source": np.array(source)}
        write_with(options.features, lambda temporary: np.savez(temporary, **kept))
    return arrays, source


def figures_of(result: Any) -> dict[str, float]:
    return {name: getattr(result, name) for name in ("mAP", "mAP_trapezoid", "rank1", "rank5", "rank10")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="prepared dataset")
    parser.add_argument("--weights", type=Path, help=f"state dict of {BACKBONE}")
    parser.add_argument("--features", type=Path, help="NPZ that features are kept in")
    options = parser.parse_args()
    if (options.data is None) != (options.weights is None):
        parser.error("--data and --weights go together")
    given, source = arguments(options)
    distances: list[Any] = []
    # Twice: once for the clock, and once for the memory, which a watching thread samples.
    wall, processor = time.perf_counter(), time.process_time()
    rerank(given[0], given[3])
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    memory = extra_memory_mib(lambda: distances.append(rerank(given[0], given[3])))
    labels = (*given[1:3], *given[4:])
    settings = Rerank()
    write_result(
        "rerank",
        {
            "features": source,
            "shapes": [len(given[0]), len(given[3]), given[0].shape[1]],
            "k1": settings.k1,
            "k2": settings.k2,
            "lambda": settings.lambda_value,
            "threads": os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))),
            "seconds": wall,
            "processor_seconds": processor,
            "extra_memory_mib": memory,
            "limit_mib": LIMIT_MIB,
            "result_mib": distances[0].nbytes / 2**20,
            "dense_table_mib": (len(given[0]) + len(given[3])) ** 2 * 4 / 2**20,
            "before": figures_of(rank(*given)),
            "after": figures_of(rank_distances(distances[0], *labels)),
        },
    )


if __name__ == "__main__":
    main()
