"""`evaluate`: batches, the gate around each, and what is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid.data import Sample
from reid.errors import ArtifactError, ConfigError, DataError
from reid.evaluate import evaluate, rank


def samples(persons: list[int], camera: int) -> tuple[Sample, ...]:
    return tuple(Sample(Path(f"{i}.jpg"), person, camera) for i, person in enumerate(persons))


def images(persons: list[int]) -> np.ndarray:
    """Every image shows its person's own random pattern, so that the right matches come first."""
    rows = [np.random.default_rng(p).integers(0, 256, (4, 2, 3), dtype=np.uint8) for p in persons]
    return np.stack(rows)


def flatten(batch: np.ndarray) -> np.ndarray:
    return batch.reshape(len(batch), -1).astype(np.float32) - 127


QUERY, GALLERY = [1, 2, 3], [3, 0, 1, 2, 1]


def run(embed: Any = flatten, **options: Any) -> Any:
    given = {"query_images": images(QUERY), "gallery_images": images(GALLERY)} | options
    return evaluate(embed, samples(QUERY, 1), gallery=samples(GALLERY, 2), **given)


def test_equals_ranking_all_features_at_once() -> None:
    expected = rank(
        flatten(images(QUERY)), QUERY, [1, 1, 1], flatten(images(GALLERY)), GALLERY, [2, 2, 2, 2, 2]
    )
    result = run(batch=2)
    assert (result.mAP, result.cmc.tolist()) == (expected.mAP, expected.cmc.tolist())
    assert result.mAP == 1


def test_every_batch_the_distances_and_the_ranking_pass_the_gate() -> None:
    seen: list[str] = []

    @contextmanager
    def gate() -> Iterator[None]:
        seen.append("enter")
        yield
        seen.append("leave")

    def embed(batch: np.ndarray) -> np.ndarray:
        assert seen[-1] == "enter"
        seen.append(str(len(batch)))
        return flatten(batch)

    run(embed, batch=2, gate=gate)
    batches = [word for word in seen if word.isdigit()]
    assert batches == ["2", "1", "2", "2", "1"]
    assert seen.count("enter") == seen.count("leave") == len(batches) + 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"batch": 0}, "batch must be at least 1"),
        ({"query_images": images(GALLERY)}, "query_images must be 3 images"),
        ({"gallery_images": images(GALLERY).astype(np.float32)}, "gallery_images must be 5 images"),
        ({"gallery_images": images(GALLERY)[..., :2]}, "gallery_images must be"),
    ],
)
def test_wrong_images_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        run(**options)


@pytest.mark.parametrize("spoil", [lambda f: f[:-1], lambda f: f[0], lambda f: f[:, : 2 + len(f)]])
def test_an_embedding_of_the_wrong_shape_is_refused(spoil: Any) -> None:
    with pytest.raises(ArtifactError, match="not one row per image"):
        run(lambda batch: spoil(flatten(batch)), batch=2)


def test_a_diverged_embedding_is_refused() -> None:
    with pytest.raises(DataError, match="query_features holds NaN"):
        run(lambda batch: flatten(batch) * np.nan)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(DataError, match="query set is empty"):
        evaluate(flatten, (), np.empty((0, 4, 2, 3), np.uint8), samples(GALLERY, 2), images(GALLERY))
