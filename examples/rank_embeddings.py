"""Rank embeddings from anywhere by the Market-1501 protocol, then re-rank them.

python examples/rank_embeddings.py
"""

import numpy as np

from reid.evaluate import rank, rank_distances, rerank


def main() -> None:
    random = np.random.default_rng(0)
    people = random.standard_normal((20, 64))

    def seen(ids: np.ndarray) -> np.ndarray:
        return people[ids] + 1.2 * random.standard_normal((len(ids), 64))

    query_ids = np.arange(20)
    gallery_ids = np.repeat(np.arange(20), 6)
    query_cameras, gallery_cameras = np.zeros(20, int), np.tile(np.arange(6), 20)
    query, gallery = seen(query_ids), seen(gallery_ids)

    plain = rank(query, query_ids, query_cameras, gallery, gallery_ids, gallery_cameras)
    print(f"mAP {plain.mAP:.3f}, rank-1 {plain.rank1:.3f}: {plain.protocol}")
    distances = rerank(query, gallery, k1=6, k2=3)
    better = rank_distances(distances, query_ids, query_cameras, gallery_ids, gallery_cameras)
    print(f"re-ranked: mAP {better.mAP:.3f}, rank-1 {better.rank1:.3f}")


if __name__ == "__main__":
    main()
