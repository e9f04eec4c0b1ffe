"""`rank` against a twin in plain Python, scikit-learn, and the figures of the original code."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import ConfigError, DataError
from reid.evaluate import Protocol, rank, scores


@dataclass
class Gallery:
    """Arguments of `rank`, by name, so that a test can alter one."""

    query_features: Any
    query_ids: Any
    query_cameras: Any
    gallery_features: Any
    gallery_ids: Any
    gallery_cameras: Any


def random_gallery(seed: int) -> Gallery:
    """Ties, copies, junk, distractors and queries without a match; all scores are exact in float32."""
    rng = np.random.default_rng(seed)
    queries, images = int(rng.integers(1, 9)), int(rng.integers(1, 60))
    persons, cameras = int(rng.integers(1, 7)), int(rng.integers(1, 4))

    def features(count: int) -> np.ndarray:
        # Four entries of +-1 among sixteen: of length 2 exactly, so nothing is ever rounded.
        rows = np.zeros((count, 16), dtype=rng.choice([np.float32, np.float64]))
        for row in rows:
            row[rng.choice(16, 4, replace=False)] = rng.choice([-1, 1], 4)
        return rows[rng.integers(0, count, count)]

    return Gallery(
        features(queries),
        rng.integers(1, persons + 2, queries),
        rng.integers(1, cameras + 1, queries),
        features(images),
        rng.integers(-1, persons + 1, images),
        rng.integers(1, cameras + 1, images),
    )


def twin(gallery: Gallery, no_match: str, max_rank: int) -> tuple[float, float, list[float], int] | None:
    """mAP, trapezoid mAP, CMC and skipped queries by the definitions, one image after the other."""
    rectangles, trapezoids, first_hits = [], [], []
    for feature, person, camera in zip(
        gallery.query_features, gallery.query_ids, gallery.query_cameras, strict=True
    ):
        order = sorted(
            range(len(gallery.gallery_ids)),
            key=lambda j: (-math.fsum(feature.astype(float) * gallery.gallery_features[j]), j),
        )
        hits, rank_, found_at, rectangle, trapezoid = 0, 0, [], 0.0, 0.0
        for j in order:
            other, seen_by = gallery.gallery_ids[j], gallery.gallery_cameras[j]
            if other == -1 or (other == person and seen_by == camera):
                continue
            before = hits / rank_ if rank_ else 1.0
            rank_ += 1
            if other == person:
                hits += 1
                found_at.append(rank_)
                rectangle += hits / rank_
                trapezoid += (before + hits / rank_) / 2
        if hits:
            rectangles.append(rectangle / hits)
            trapezoids.append(trapezoid / hits)
            first_hits.append(found_at[0])
    if not first_hits:
        return None
    counted = len(gallery.query_ids) if no_match == "count" else len(first_hits)
    cmc = [sum(first <= k for first in first_hits) / counted for k in range(1, max_rank + 1)]
    skipped = len(gallery.query_ids) - counted
    return sum(rectangles) / counted, sum(trapezoids) / counted, cmc, skipped


@pytest.mark.parametrize("first_seed", range(0, 500, 100))
def test_m9_equals_the_twin(first_seed: int) -> None:
    unmatched_sets = 0
    for seed in range(first_seed, first_seed + 100):
        gallery = random_gallery(seed)
        no_match = ("skip", "count")[seed % 2]
        expected = twin(gallery, no_match, max_rank=20)
        if expected is None:
            unmatched_sets += 1
            with pytest.raises(DataError):
                rank(**vars(gallery))
            continue
        result = rank(**vars(gallery), max_rank=20, no_match=no_match)  # type: ignore[arg-type]
        assert result.mAP == pytest.approx(expected[0], abs=1e-9), seed
        assert result.mAP_trapezoid == pytest.approx(expected[1], abs=1e-9), seed
        assert result.cmc == pytest.approx(np.array(expected[2]), abs=1e-9), seed
        assert result.num_skipped == expected[3]
        assert result.num_queries == len(gallery.query_ids)
        assert result.protocol == str(Protocol(no_match=no_match))  # type: ignore[arg-type]
    assert unmatched_sets < 50


def test_many_chunks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    galleries = [g for g in map(random_gallery, range(40)) if twin(g, "skip", 1) is not None]
    whole = [rank(**vars(g)) for g in galleries]
    monkeypatch.setattr(scores, "CHUNK_BYTES", 600)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    for gallery, expected in zip(galleries, whole, strict=True):
        again = rank(**vars(gallery))
        assert (again.mAP, again.mAP_trapezoid) == (expected.mAP, expected.mAP_trapezoid)
        assert again.cmc.tolist() == expected.cmc.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("queries", "images", "width"), [(1, 37, 16), (3, 50, 512), (2, 19, 128), (5, 7, 37)]
)
def test_copies_tie_exactly_whatever_blas_does(queries: int, images: int, width: int, dtype: type) -> None:
    """A gallery of one file repeated: every hit is where the order of the gallery puts it."""
    rng = np.random.default_rng(queries)
    one = rng.standard_normal(width)
    features = np.tile(one, (images, 1)).astype(dtype)
    ids = np.full(images, 9)
    ids[images // 2] = 4
    query = rng.standard_normal((queries, width)).astype(dtype)
    result = rank(query, [4] * queries, [1] * queries, features, ids, [2] * images, max_rank=images)
    assert result.mAP == pytest.approx(1 / (images // 2 + 1), abs=1e-12)


def test_golden_figures_of_the_original_code() -> None:
    golden = json.loads((Path(__file__).parent / "golden_eval.json").read_text())

    def formula(count: int, width: int, seed: int) -> np.ndarray:
        value = 43758.5453 * np.sin(12.9898 * np.arange(count * width) + seed)
        return (value - np.floor(value) - 0.5).reshape(count, width)

    centres = formula(8, 16, 7)
    query = [centres[i] + 0.9 * formula(1, 16, 100 + k)[0] for k, i in enumerate(golden["ids_q"])]
    images = [centres[max(i, 0)] + 0.9 * formula(1, 16, 200 + k)[0] for k, i in enumerate(golden["ids_g"])]
    labels = golden["ids_q"], golden["cam_q"], images, golden["ids_g"], golden["cam_g"]
    counted = rank(query, *labels, no_match="count")
    assert counted.mAP_trapezoid == pytest.approx(golden["mAP"], abs=1e-6)
    assert (counted.rank1, counted.rank5, counted.rank10) == pytest.approx(
        (golden["cmc1"], golden["cmc5"], golden["cmc10"])
    )
    assert (counted.num_queries, counted.num_skipped) == (5, 0)
    skipped = rank(query, *labels)
    assert skipped.num_skipped == 1
    assert skipped.mAP_trapezoid == pytest.approx(golden["mAP"] * 5 / 4, abs=1e-6)


def test_average_precision_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    query, images = rng.standard_normal((40, 8)), rng.standard_normal((200, 8))
    query_ids, ids = rng.integers(1, 10, 40), rng.integers(1, 10, 200)
    result = rank(query, query_ids, np.ones(40, int), images, ids, np.full(200, 2))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (query, images)]
    each = [
        metrics.average_precision_score(ids == i, s)
        for i, s in zip(query_ids, unit[0] @ unit[1].T, strict=True)
    ]
    assert result.mAP == pytest.approx(np.mean(each), abs=1e-9)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-30, 1e-3, 7.0, 1e25]))
def test_only_directions_matter(seed: int, scale: float) -> None:
    """Lengths are divided out, even those whose square leaves the range of float32."""
    rng = np.random.default_rng(seed)
    query, images = rng.standard_normal((6, 5)), rng.standard_normal((30, 5))
    labels = rng.integers(1, 4, 6), np.ones(6, int), rng.integers(1, 4, 30), np.full(30, 2)
    labels[2][:3] = 1, 2, 3
    plain = rank(query, labels[0], labels[1], images, labels[2], labels[3])
    scaled = rank(
        (query * scale).astype(np.float32), labels[0], labels[1], images * scale, labels[2], labels[3]
    )
    assert scaled.mAP == pytest.approx(plain.mAP, abs=1e-3)
    assert 0 < plain.mAP <= 1
    assert np.all(np.diff(plain.cmc) >= 0)
    assert plain.cmc[-1] == 1


def test_a_zero_feature_is_like_nothing() -> None:
    result = rank([[1.0, 0.0]], [1], [1], [[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], [1, 5, 6], [2, 2, 2])
    assert result.mAP == 0.5


def test_cmc_stays_level_beyond_the_gallery_and_is_read_only() -> None:
    result = rank([[1.0, 0.0]], [1], [1], [[0.0, 1.0], [1.0, 0.0]], [1, 2], [2, 2], max_rank=4)
    assert result.cmc.tolist() == [0, 1, 1, 1]
    assert result.rank1 == 0
    assert result.rank5 == result.rank10 == 1
    with pytest.raises(ValueError, match="read-only"):
        result.cmc[0] = 1


def test_a_distractor_or_junk_query_matches_nothing() -> None:
    features = np.eye(3)
    result = rank(features, [0, -1, 2], [1, 1, 1], features, [0, -1, 2], [2, 2, 2])
    assert (result.num_queries, result.num_skipped) == (3, 2)


@pytest.mark.parametrize("no_match", ["skip", "count"])
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"query_cameras": [3, 3], "gallery_cameras": [3, 3, 3]}, "every image comes from camera 3"),
        ({"gallery_ids": [-1, -1, -1]}, "nothing but junk"),
        ({"gallery_ids": [7, 8, 0]}, "no identity of the query set appears in the gallery"),
        ({"gallery_ids": [1, 0, 0]}, "only in the queries' own cameras"),
        (
            {"query_features": np.empty((0, 2)), "query_ids": [], "query_cameras": []},
            "the query set is empty",
        ),
        ({"query_features": [[np.nan, 1], [1, 1]]}, "query_features holds NaN or infinite values in 1 rows"),
        ({"gallery_features": [[0, 1], [1, np.inf], [0, -np.inf]]}, "in 2 rows, the first is row 1"),
    ],
)
def test_data_that_cannot_be_ranked_is_named(change: dict[str, Any], cause: str, no_match: Any) -> None:
    with pytest.raises(DataError, match=cause):
        rank(**(vars(small()) | change), no_match=no_match)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"query_features": [1.0, 2.0]}, "query_features must be a real"),
        ({"query_features": np.ones((2, 3))}, "query_features have 3 columns but gallery_features 2"),
        ({"gallery_features": np.ones((3, 0))}, "gallery_features must be"),
        ({"gallery_features": np.ones((3, 2), dtype=complex)}, "gallery_features must be"),
        ({"query_ids": [1]}, "query_ids must be 2 integers"),
        ({"gallery_ids": [1.0, 2.0, 3.0]}, "gallery_ids must be 3 integers"),
        ({"gallery_cameras": [[1, 2, 3]]}, "gallery_cameras must be 3 integers"),
        ({"max_rank": 0}, "max_rank must be"),
        ({"max_rank": 2.5}, "max_rank must be"),
        ({"no_match": "ignore"}, "no_match must be skip or count"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        rank(**(vars(small()) | change))


def small() -> Gallery:
    return Gallery(np.eye(2), [1, 2], [1, 1], np.array([[1, 0], [0, 1], [1, 1]]), [1, 2, 2], [1, 2, 3])
