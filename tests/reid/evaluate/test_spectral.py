"""`spectral_distances` against the definition, one query and one image after the other."""

from typing import Any

import numpy as np
import pytest

from reid.errors import ConfigError
from reid.evaluate import scores, spectral_distances


def twin(query: np.ndarray, gallery: np.ndarray, temperature: float, top: int) -> list[list[int]]:
    """Rankings: the head in its new order, then the rest."""
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (query, gallery)]
    rankings = []
    for one in unit[0]:
        order = np.argsort(-(unit[1] @ one), kind="stable").tolist()
        head = order[:top]
        features = unit[1][head]
        blurred = []
        for feature in features:
            weights = [np.exp(float(feature @ other) / temperature) for other in features]
            blurred.append(sum(w * other for w, other in zip(weights, features, strict=True)) / sum(weights))
        score = [float(row @ one) for row in blurred]
        rankings.append([head[i] for i in sorted(range(len(head)), key=lambda i: -score[i])] + order[top:])
    return rankings


@pytest.mark.parametrize("chunk_bytes", [scores.CHUNK_BYTES, 1])
@pytest.mark.parametrize(("images", "top"), [(30, 5), (30, 30), (7, 50), (12, 1)])
def test_equals_the_twin(images: int, top: int, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "CHUNK_BYTES", chunk_bytes)
    rng = np.random.default_rng(images + top)
    query, gallery = rng.standard_normal((6, 4)), rng.standard_normal((images, 4))
    for temperature in (0.1, 0.5):
        distances = spectral_distances(query, gallery, temperature, top)
        assert distances.argsort(axis=1, kind="stable").tolist() == twin(query, gallery, temperature, top)


def test_the_distances_are_exchanged_and_none_is_new() -> None:
    rng = np.random.default_rng(0)
    query, gallery = rng.standard_normal((4, 6)), rng.standard_normal((25, 6))
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (query, gallery)]
    cosine = 1 - unit[0] @ unit[1].T
    distances = spectral_distances(query, gallery, 0.3, 10)
    assert np.sort(distances, axis=1) == pytest.approx(np.sort(cosine, axis=1))
    moved = distances != pytest.approx(cosine)
    assert moved
    rest = np.argsort(cosine, axis=1)[:, 10:]
    assert np.take_along_axis(distances, rest, 1) == pytest.approx(np.take_along_axis(cosine, rest, 1))


def test_an_image_beside_a_near_group_overtakes_a_lonely_one() -> None:
    group = [[1.0, 0.3]] * 5
    lonely, beside = [1.0, -0.5], [1.0, 0.55]
    gallery = [*group, lonely, beside]
    far = spectral_distances([[1.0, 0.0]], gallery, 0.05, 1)[0]
    assert far[5] < far[6]
    near = spectral_distances([[1.0, 0.0]], gallery, 0.05, 7)[0]
    assert near[5] > near[6]


@pytest.mark.parametrize("change", [{"temperature": 0}, {"temperature": float("inf")}, {"top": 0}])
def test_wrong_settings_are_named(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(change))} of the spectral transform"):
        spectral_distances(np.ones((1, 2)), np.ones((3, 2)), **change)
