"""The rules: what each changes in a ranking, that all of them are stated, and what is refused."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from reid.errors import ConfigError, DataError
from reid.evaluate import Protocol, Rerank, Spectral, rank, rank_distances
from tests.reid.evaluate.test_rank import random_gallery, small

QUERY = [[1.0, 0.0]], [7], [1]
# From near to far: junk, the query's own camera, a distractor, another person, the match.
GALLERY = (
    [[1, 0.1], [1, 0.2], [1, 0.3], [1, 0.4], [1, 0.5]],
    [-1, 7, 0, 8, 7],
    [2, 1, 2, 2, 2],
)


@pytest.mark.parametrize(
    ("rules", "mean_ap"),
    [
        ({}, 1 / 3),
        ({"junk": "keep"}, 1 / 4),
        ({"distractors": "remove"}, 1 / 2),
        ({"same_camera": "keep"}, (1 + 2 / 4) / 2),
        ({"junk": "keep", "same_camera": "keep"}, (1 / 2 + 2 / 5) / 2),
        ({"junk": "keep", "distractors": "remove", "same_camera": "keep"}, (1 / 2 + 2 / 4) / 2),
    ],
)
def test_each_rule_by_hand(rules: dict[str, Any], mean_ap: float) -> None:
    assert rank(*QUERY, *GALLERY, **rules).mAP == pytest.approx(mean_ap)
    distances = np.array([[0.1, 0.2, 0.3, 0.4, 0.5]])
    assert rank_distances(distances, *QUERY[1:], *GALLERY[1:], **rules).mAP == pytest.approx(mean_ap)


def test_one_camera_can_be_ranked_if_asked() -> None:
    labels = [7, 8], [3, 3], np.eye(2) + 0.1, [7, 8], [3, 3]
    with pytest.raises(DataError, match=r"every image comes from camera 3.*or keep the same camera"):
        rank(np.eye(2), *labels)
    assert rank(np.eye(2), *labels, same_camera="keep").mAP == 1


def test_distances_rank_as_the_features_that_they_come_from() -> None:
    compared = 0
    for seed, no_match in product(range(60), ("skip", "count")):
        gallery = random_gallery(seed)
        unit = [
            np.asarray(rows, float) / np.linalg.norm(rows, axis=1, keepdims=True)
            for rows in (gallery.query_features, gallery.gallery_features)
        ]
        labels = (gallery.query_ids, gallery.query_cameras, gallery.gallery_ids, gallery.gallery_cameras)
        try:
            expected = rank(**vars(gallery), no_match=no_match)  # type: ignore[arg-type]
        except DataError:
            with pytest.raises(DataError):
                rank_distances(1 - unit[0] @ unit[1].T, *labels)
            continue
        compared += 1
        result = rank_distances(1 - unit[0] @ unit[1].T, *labels, no_match=no_match)  # type: ignore[arg-type]
        assert (result.mAP, result.mAP_trapezoid) == (expected.mAP, expected.mAP_trapezoid)
        assert result.cmc.tolist() == expected.cmc.tolist()
        assert (result.num_queries, result.num_skipped) == (expected.num_queries, expected.num_skipped)
    assert compared > 60


def test_every_rule_is_stated() -> None:
    lines = {
        str(Protocol(no_match=a, same_camera=b, junk=c, distractors=d, multi_query=e, flip=f, **rest))  # type: ignore[arg-type]
        for a, b, c, d, e, f, rest in product(
            ("skip", "count"),
            ("keep", "remove"),
            ("keep", "remove"),
            ("keep", "remove"),
            (False, True),
            (False, True),
            (
                {},
                {"scales": (1.0, 1.1)},
                {"rerank": Rerank()},
                {"rerank": Rerank(k1=30)},
                {"spectral": Spectral()},
                {"spectral": Spectral(top=20)},
            ),
        )
    }
    assert len(lines) == 2**6 * 6
    assert str(Protocol()) == (
        "single query, cosine, junk removed, distractors kept, same camera removed, queries without a match: skip"
    )
    assert str(Protocol(multi_query=True, flip=True, scales=(1.0, 1.1), rerank=Rerank())).startswith(
        "multi-query, flip, scales 1 and 1.1, k-reciprocal re-ranking (k1 20, k2 6, lambda 0.3), junk removed"
    )


def test_given_distances_are_not_called_cosine() -> None:
    result = rank_distances([[0.5, 0.1]], [1], [1], [1, 2], [2, 2])
    assert result.protocol.startswith("single query, distances as given, junk removed")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"same_camera": "drop"}, "same_camera must be keep or remove"),
        ({"junk": ""}, "junk must be keep or remove"),
        ({"distractors": None}, "distractors must be keep or remove"),
        ({"scales": ()}, "scales must be numbers above 0"),
        ({"scales": (1.0, 0.0)}, "scales must be numbers above 0"),
        ({"scales": (float("nan"),)}, "scales must be numbers above 0"),
        ({"scales": (1.0, 9.0)}, "at most 4"),
        ({"scales": (1.0, 1.0)}, "scales must differ"),
        ({"rerank": Rerank(), "spectral": Spectral()}, "exclude each other"),
    ],
)
def test_wrong_rules_are_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Protocol(**change)


@pytest.mark.parametrize(
    ("values", "error", "named"),
    [
        ([0.1, 0.2], ConfigError, "distances must be a"),
        ([[1, 2, 3], [1, 2, 3]], ConfigError, "array of floats"),
        ([[0.1, 0.2]], ConfigError, "query_ids must be 1 integers"),
        ([[0.1, 0.2], [0.1, 0.2]], ConfigError, "gallery_ids must be 2 integers"),
        ([[0.1, 0.2, np.nan], [0.1, 0.2, 0.3]], DataError, "distances hold NaN"),
    ],
)
def test_wrong_distances_are_named(values: Any, error: type, named: str) -> None:
    labels = small()
    with pytest.raises(error, match=named):
        rank_distances(
            values, labels.query_ids, labels.query_cameras, labels.gallery_ids, labels.gallery_cameras
        )
