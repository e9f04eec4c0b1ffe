"""From images to retrieval figures, through whatever embeds them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.data import Sample
from reid.errors import ArtifactError, ConfigError
from reid.evaluate.rank import RankingResult, rank

__all__ = ["evaluate"]

_Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
_Gate = Callable[[], AbstractContextManager[Any]]


def evaluate(
    embed: _Embed,
    query: Sequence[Sample],
    query_images: NDArray[np.uint8],
    gallery: Sequence[Sample],
    gallery_images: NDArray[np.uint8],
    *,
    batch: int = 64,
    gate: _Gate = nullcontext,
) -> RankingResult:
    """Embed both sets in batches and rank the gallery for every query.

    Args:
        embed: takes (B, H, W, 3) uint8 RGB, 1 <= B <= batch, and gives (B, D) float32, like a runtime.
        query: (Q,) what the query images show.
        query_images: (Q, H, W, 3) uint8 RGB, row i is query[i]; may be memory-mapped.
        gallery: (G,) what the gallery images show.
        gallery_images: (G, H, W, 3), as for the queries.
        batch: images per call, >= 1.
        gate: entered around every call of `embed` and around the ranking (the device lock, shared).

    Returns:
        The figures of `rank` under its usual rules.

    Raises:
        ConfigError: images that are no (N, H, W, 3) uint8 or not one per sample, `batch` below 1.
        ArtifactError: `embed` gives something else than one row per image.
        DataError: as in `rank`.
    """
    if batch < 1:
        raise ConfigError(f"batch must be at least 1, got {batch}")
    query_features = _embed_all(embed, "query", query, query_images, batch, gate)
    gallery_features = _embed_all(embed, "gallery", gallery, gallery_images, batch, gate)
    with gate():
        return rank(query_features, *_labels(query), gallery_features, *_labels(gallery))


def _embed_all(
    embed: _Embed, name: str, samples: Sequence[Sample], images: NDArray[np.uint8], batch: int, gate: _Gate
) -> NDArray[np.float32]:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or len(images) != len(samples):
        raise ConfigError(
            f"{name}_images must be {len(samples)} images as (N, H, W, 3) uint8, "
            f"got {images.dtype} of shape {images.shape}"
        )
    features = [np.empty((0, 1), dtype=np.float32)] if not len(images) else []
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        with gate():
            rows = np.asarray(embed(part), dtype=np.float32)
        if rows.ndim != 2 or len(rows) != len(part) or (features and rows.shape[1] != features[0].shape[1]):
            raise ArtifactError(
                f"embedding {len(part)} {name} images from number {start} gave shape {rows.shape}, "
                "not one row per image, all of one width"
            )
        features.append(rows)
    return np.concatenate(features)


def _labels(samples: Sequence[Sample]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return (
        np.array([sample.person_id for sample in samples], dtype=np.int64),
        np.array([sample.camera_id for sample in samples], dtype=np.int64),
    )
