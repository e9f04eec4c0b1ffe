"""Building the store of decoded images, and one pass over the images with it and without.

python -m benchmarks.image_store [--data DATA] [--size 256x128] [--workers 2] [--rounds 3]

Without --data a synthetic dataset is generated. The store is built in a folder of its own inside DATA, and
removed. Without the store, a pass decodes and resizes every training image with the
same function and the same number of threads; with it, a pass copies the rows out of the mapped file in batches.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.device import one_thread, write_result
from reid.data import ReIDDataset, dataset_name, decode_images, load_dataset
from reid.data.image import BadImage, decode
from reid.data.parallel import map_in_order
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.files import remove_tree

BATCH = 64
SYNTHETIC = SyntheticOptions(identities=96, test_identities=8)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds; the latter hardly change when something else runs."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def pass_decoding(dataset: ReIDDataset, order: np.ndarray, size: tuple[int, int], workers: int) -> None:
    """One pass in random order; every image is opened, decoded and resized."""
    paths = [dataset.train[index].path for index in order]
    batch = np.empty((BATCH, *size, 3), dtype=np.uint8)
    rows = map_in_order(lambda path: decode(path, size), paths, what="decode", workers=workers)
    for number, row in enumerate(rows):
        if isinstance(row, BadImage):
            raise SystemExit(f"{row.path}: {row.reason}")
        batch[number % BATCH] = row


def pass_from_store(array: np.ndarray, order: np.ndarray) -> None:
    """One pass in the same order; rows are copied."""
    for start in range(0, len(order), BATCH):
        array[order[start : start + BATCH]]


def compare(
    dataset: ReIDDataset, size: tuple[int, int], workers: int, rounds: int, home: Path
) -> dict[str, Any]:
    """Both ways in turns, after a pass that leaves the files in the system's cache."""
    random = np.random.default_rng(0)
    count = len(dataset.train)

    def build() -> np.ndarray:
        return decode_images(dataset.train, size, home, workers=workers).array

    pass_decoding(dataset, random.permutation(count), size, workers)
    build_s, decoding_s, store_s = [], [], []
    for _ in range(rounds):
        order = random.permutation(count)
        remove_tree(home / ".decoded")
        build_s.append(seconds(build))
        decoding_s.append(seconds(lambda order=order: pass_decoding(dataset, order, size, workers)))
        array = build()
        store_s.append(seconds(lambda array=array, order=order: pass_from_store(array, order)))
    measured = {"build": build_s, "pass_decoding": decoding_s, "pass_from_store": store_s}
    wall = {name: median(wall for wall, _ in pairs) for name, pairs in measured.items()}
    processor = {name: median(cpu for _, cpu in pairs) for name, pairs in measured.items()}
    return {
        "store_mib": array.nbytes / 2**20,
        "seconds": wall,
        "processor_seconds": processor,
        "images_per_s": {name: count / each for name, each in wall.items()},
        "images_per_processor_s": {name: count / each for name, each in processor.items()},
        "pass_decoding_over_store": wall["pass_decoding"] / wall["pass_from_store"],
        "build_over_pass_decoding": wall["build"] / wall["pass_decoding"],
        "processor_pass_decoding_over_store": processor["pass_decoding"] / processor["pass_from_store"],
        "all_rounds_wall_and_processor_s": measured,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--size", default="256x128", help="height x width")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    height, width = map(int, asked.size.split("x"))
    one_thread()
    with tempfile.TemporaryDirectory() as temporary:
        # Rows that an earlier run left in the user's cache would be copied, not decoded.
        os.environ["XDG_CACHE_HOME"] = temporary
        root = asked.data or prepare_synthetic(SYNTHETIC, Path(temporary) / "data").root
        dataset = load_dataset(dataset_name(root), root)
        with tempfile.TemporaryDirectory(dir=root, prefix=".benchmark-") as home:
            figures = compare(dataset, (height, width), asked.workers, asked.rounds, Path(home))
    request = {
        "dataset": dataset.name, "images": len(dataset.train), "input_size": [height, width],
        "workers": asked.workers, "rounds": asked.rounds, "batch": BATCH,
    }  # fmt: skip
    write_result("image-store", request | figures)


if __name__ == "__main__":
    main()
