"""`rerank` against a dense twin in plain Python that follows the description step by step."""

from typing import Any

import numpy as np
import pytest

from reid.errors import ConfigError, DataError
from reid.evaluate import rank, rank_distances, rerank, scores


def twin(query: Any, gallery: Any, k1: int, k2: int, weight: float) -> np.ndarray:
    rows = np.concatenate([query, gallery]).astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    original = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    original /= original.max(axis=1, keepdims=True)
    total = len(rows)
    order = [sorted(range(total), key=lambda j: (j != i, original[i, j], j)) for i in range(total)]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    encoded = np.zeros((total, total))
    for i in range(total):
        base = reciprocal(i, k1)
        expanded = set(base)
        for candidate in base:
            theirs = reciprocal(candidate, round(k1 / 2))
            if 3 * len(theirs & base) > 2 * len(theirs):
                expanded |= theirs
        for j in expanded:
            encoded[i, j] = np.exp(-original[i, j])
        encoded[i] /= encoded[i].sum()
    averaged = np.array([encoded[order[i][:k2]].mean(axis=0) for i in range(total)])
    out = np.empty((len(query), len(gallery)))
    for i in range(len(query)):
        for j in range(len(gallery)):
            mine, other = averaged[i], averaged[len(query) + j]
            jaccard = 1 - np.minimum(mine, other).sum() / np.maximum(mine, other).sum()
            out[i, j] = (1 - weight) * jaccard + weight * original[i, len(query) + j]
    return out


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("chunk_bytes", [scores.CHUNK_BYTES, 700])
def test_equals_the_twin(seed: int, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "CHUNK_BYTES", chunk_bytes)
    rng = np.random.default_rng(seed)
    width = int(rng.integers(2, 9))
    query = rng.standard_normal((rng.integers(1, 10), width))
    gallery = rng.standard_normal((rng.integers(1, 50), width))
    settings = int(rng.integers(1, 25)), int(rng.integers(1, 9)), float(rng.random())
    expected = twin(query, gallery, *settings)
    assert np.abs(rerank(query, gallery, *settings) - expected).max() < 1e-6
    narrow = rerank(query.astype(np.float32), gallery.astype(np.float32), *settings)
    assert narrow.dtype == np.float32
    # Rounding may swap neighbours at almost the same distance, which moves few entries by little.
    assert np.median(np.abs(narrow - expected)) < 1e-6


def test_helps_where_neighbours_know_better() -> None:
    """Clouds that overlap: neighbours in common tell them apart better than distance."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((12, 16))
    ids = np.repeat(np.arange(1, 13), 12)
    images = centres[ids - 1] + 1.1 * rng.standard_normal((len(ids), 16))
    is_query = np.arange(len(ids)) % 12 == 0
    labels = ids[is_query], np.ones(is_query.sum(), int), ids[~is_query], np.full((~is_query).sum(), 2)
    plain = rank(images[is_query], *labels[:2], images[~is_query], *labels[2:])
    again = rank_distances(rerank(images[is_query], images[~is_query], k1=10, k2=3), *labels)
    assert again.mAP > plain.mAP + 0.02


def test_lambda_of_one_keeps_the_order() -> None:
    rng = np.random.default_rng(2)
    query, gallery = rng.standard_normal((5, 8)), rng.standard_normal((40, 8))
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (query, gallery)]
    distances = rerank(query, gallery, lambda_value=1)
    assert (distances.argsort(axis=1) == (-unit[0] @ unit[1].T).argsort(axis=1)).all()


def test_one_image_over_and_over() -> None:
    distances = rerank(np.ones((2, 4)), np.ones((5, 4)))
    assert distances.shape == (2, 5)
    assert np.abs(distances).max() < 1e-6


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"k1": 0}, ConfigError, "k1 of re-ranking"),
        ({"k2": 1.5}, ConfigError, "k2 of re-ranking"),
        ({"lambda_value": 1.2}, ConfigError, "lambda_value of re-ranking"),
        ({"lambda_value": float("nan")}, ConfigError, "lambda_value of re-ranking"),
        ({"query_features": np.ones(3)}, ConfigError, "query_features must be"),
        ({"query_features": np.ones((2, 4))}, ConfigError, "4 columns but gallery_features 3"),
        ({"gallery_features": np.ones((0, 3))}, DataError, "gallery set is empty"),
        ({"gallery_features": [[1, 2, np.nan]]}, DataError, "gallery_features holds NaN"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], error: type, named: str) -> None:
    given = {"query_features": np.ones((2, 3)), "gallery_features": np.ones((4, 3))} | change
    with pytest.raises(error, match=named):
        rerank(**given)
