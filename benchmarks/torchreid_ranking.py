"""Ranking at the size of Market-1501's test split beside Torchreid's, on the same features.

    pip install --no-deps --target FOLDER torchreid==0.2.5
    python -m benchmarks.torchreid_ranking FOLDER

Only its file of the ranking is imported, which needs NumPy alone. Its Cython form is not part of what pip installs. It
leaves junk out beforehand, so both get a gallery without.
"""

import argparse
import importlib.util
import os
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.device import write_result
from benchmarks.rank import market_sized
from reid.evaluate import rank

_FILE = "torchreid/reid/metrics/rank.py"
_MOST_RANKS = 10


def load(folder: Path) -> ModuleType:
    """Torchreid's file of the ranking."""
    spec = importlib.util.spec_from_file_location("torchreid_rank", folder / _FILE)
    if spec is None or spec.loader is None or not (folder / _FILE).is_file():
        raise SystemExit(
            f"{folder} holds no {_FILE}; pip install --no-deps --target {folder} torchreid==0.2.5"
        )
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is not compiled
        spec.loader.exec_module(module)
    return module


def theirs(module: ModuleType, arguments: tuple[Any, ...]) -> dict[str, float]:
    """Cosine distances by one product, then Torchreid's ranking."""
    query, query_ids, query_cameras, gallery, gallery_ids, gallery_cameras = arguments
    query = query / np.linalg.norm(query, axis=1, keepdims=True)
    gallery = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    distances = 1 - query @ gallery.T
    cmc, mean_ap = module.evaluate_rank(
        distances,
        query_ids,
        gallery_ids,
        query_cameras,
        gallery_cameras,
        max_rank=_MOST_RANKS,
        use_cython=False,
    )
    return {"mAP": float(mean_ap), "rank1": float(cmc[0]), "rank10": float(cmc[_MOST_RANKS - 1])}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    module = load(parser.parse_args().folder)
    arguments = market_sized(noise=2.5)
    known = arguments[4] >= 0
    arguments = (*arguments[:3], *(array[known] for array in arguments[3:]))
    rank(*arguments)
    begun = time.perf_counter()
    found = theirs(module, arguments)
    theirs_s = time.perf_counter() - begun
    begun = time.perf_counter()
    ours = rank(*arguments)
    ours_s = time.perf_counter() - begun
    own = {"mAP": ours.mAP, "rank1": ours.rank1, "rank10": ours.rank10}
    figures = {
        "shapes": [len(arguments[0]), len(arguments[3]), arguments[0].shape[1]],
        "threads": os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))),
        "torchreid": found,
        "ours": own,
        "largest_difference": max(abs(own[name] - found[name]) for name in own),
        "torchreid_s": theirs_s,
        "ours_s": ours_s,
        "torchreid_over_ours": theirs_s / ours_s,
    }
    write_result("torchreid-ranking", figures)


if __name__ == "__main__":
    main()
