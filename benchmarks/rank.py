"""Ranking at the size of Market-1501's test split beside the bare matrix product that it cannot do without.

Run from the repository: python -m benchmarks.rank [--rounds 7]
"""

import argparse
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.device import write_result
from reid.evaluate import rank, scores

QUERIES, GALLERY, WIDTH = 3_368, 19_732, 512
IDENTITIES, CAMERAS, DISTRACTORS, JUNK = 750, 6, 2_798, 3_819
LOOP_QUERIES = 100


def market_sized(noise: float) -> tuple[Any, ...]:
    """Arguments of `rank` with the numbers of Market-1501; `noise` moves features from apart to random."""
    rng = np.random.default_rng(0)
    query_ids = rng.integers(1, IDENTITIES + 1, QUERIES)
    persons = rng.integers(1, IDENTITIES + 1, GALLERY - DISTRACTORS - JUNK)
    gallery_ids = np.concatenate([persons, np.zeros(DISTRACTORS, int), np.full(JUNK, -1)])
    rng.shuffle(gallery_ids)
    centres = rng.standard_normal((IDENTITIES + 1, WIDTH))

    def features(ids: np.ndarray) -> np.ndarray:
        known = (ids > 0)[:, np.newaxis]
        own = np.where(known, centres[np.maximum(ids, 0)], rng.standard_normal((len(ids), WIDTH)))
        return (own + noise * rng.standard_normal(own.shape)).astype(np.float32)

    def cameras(count: int) -> np.ndarray:
        return rng.integers(1, CAMERAS + 1, count)

    query = features(query_ids), query_ids, cameras(QUERIES)
    return (*query, features(gallery_ids), gallery_ids, cameras(GALLERY))


def per_query_loop(
    query: np.ndarray,
    query_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery: np.ndarray,
    gallery_ids: np.ndarray,
    gallery_cameras: np.ndarray,
) -> float:
    """The usual evaluation: one query after the other, the whole gallery sorted with indices."""
    query = query / np.linalg.norm(query, axis=1, keepdims=True)
    gallery = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    precisions = []
    for feature, person, camera in zip(query, query_ids, query_cameras, strict=True):
        order = np.argsort(-(gallery @ feature), kind="stable")
        same = gallery_ids[order] == person
        keep = ~((same & (gallery_cameras[order] == camera)) | (gallery_ids[order] == -1))
        right = same[keep]
        if right.any():
            found = np.flatnonzero(right)
            precisions.append((np.arange(1, len(found) + 1) / (found + 1)).mean())
    return float(np.mean(precisions))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds, after BLAS's threads have stopped spinning for the work before."""
    time.sleep(0.3)
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def extra_memory_mib(work: Callable[[], object]) -> float:
    """Most resident memory while `work` runs, above that before it, sampled every millisecond."""
    page = resource.getpagesize()
    statm = Path("/proc/self/statm")
    done = threading.Event()
    seen = []

    def watch() -> None:
        while not done.wait(0.001):
            seen.append(int(statm.read_text().split()[1]) * page)

    before = int(statm.read_text().split()[1]) * page
    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    done.set()
    watcher.join()
    return (max(seen) - before) / 2**20


def compare(arguments: tuple[Any, ...], rounds: int) -> dict[str, float]:
    """Ranking and product in turns; the product writes into memory that is there already."""
    product = np.empty((QUERIES, GALLERY), dtype=np.float32)

    def multiply() -> None:
        np.matmul(arguments[0], arguments[3].T, out=product)

    rank(*arguments)
    multiply()
    pairs = [(timed(lambda: rank(*arguments)), timed(multiply)) for _ in range(rounds)]
    fresh = [timed(lambda: arguments[0] @ arguments[3].T)[0] for _ in range(rounds)]
    few = tuple(array[:LOOP_QUERIES] for array in arguments[:3])
    loop_s = median(timed(lambda: per_query_loop(*few, *arguments[3:]))[0] for _ in range(3))
    rank_s = median(own[0] for own, _ in pairs)
    return {
        "rank_s": rank_s,
        "product_s": median(bare[0] for _, bare in pairs),
        "product_into_fresh_memory_s": median(fresh),
        "ratio": median(own[0] / bare[0] for own, bare in pairs),
        "ratio_of_processor_time": median(own[1] / bare[1] for own, bare in pairs),
        "ratio_to_product_into_fresh_memory": rank_s / median(fresh),
        "loop_s_scaled": loop_s * QUERIES / LOOP_QUERIES,
        "loop_over_rank": loop_s * QUERIES / LOOP_QUERIES / rank_s,
        "mAP": rank(*arguments).mAP,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    apart, random = market_sized(noise=2.5), market_sized(noise=50.0)
    agreement = abs(
        rank(*(a[:LOOP_QUERIES] for a in apart[:3]), *apart[3:]).mAP
        - per_query_loop(*(a[:LOOP_QUERIES] for a in apart[:3]), *apart[3:])
    )
    figures = {
        "shapes": [QUERIES, GALLERY, WIDTH],
        "threads": os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))),
        "rounds": rounds,
        "chunk_mib": scores.CHUNK_BYTES / 2**20,
        "features_mib": (apart[0].nbytes + apart[3].nbytes) / 2**20,
        "all_scores_mib": QUERIES * GALLERY * 4 / 2**20,
        "extra_memory_mib": extra_memory_mib(lambda: rank(*apart)),
        "difference_of_mAP_from_loop": agreement,
        "features_of_a_trained_network": compare(apart, rounds),
        "random_features": compare(random, rounds),
    }
    write_result("rank", figures)


if __name__ == "__main__":
    main()
