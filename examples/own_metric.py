"""A metric of your own: how far the right images stand off from the nearest wrong one.

PYTHONPATH=examples reid-pareto evaluate PACKAGE --data DATA --metric own_metric:margin
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["margin"]


def margin(
    query: NDArray[np.float32],
    query_ids: NDArray[np.int64],
    query_cameras: NDArray[np.int64],
    gallery: NDArray[np.float32],
    gallery_ids: NDArray[np.int64],
    gallery_cameras: NDArray[np.int64],
) -> float:
    """Mean over the queries of the best right cosine in another camera less the best wrong one."""
    query = query / np.linalg.norm(query, axis=1, keepdims=True)
    gallery = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    cosines = query @ gallery.T
    same = query_ids[:, None] == gallery_ids
    right = np.where(same & (query_cameras[:, None] != gallery_cameras), cosines, -1).max(axis=1)
    wrong = np.where(~same, cosines, -1).max(axis=1)
    return float((right - wrong).mean())
