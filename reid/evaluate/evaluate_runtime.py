"""From images to retrieval figures, through whatever embeds them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.data import Sample
from reid.errors import ArtifactError, ConfigError
from reid.evaluate.labelled import Labelled, ids_and_cameras
from reid.evaluate.multi_query import averaged_queries
from reid.evaluate.protocol import Protocol
from reid.evaluate.result import RankingResult
from reid.evaluate.retrieval import Retrieval
from reid.evaluate.views import Embed, over_views

__all__ = ["evaluate", "retrieve"]

_Gate = Callable[[], AbstractContextManager[Any]]
_USUAL = Protocol()


def evaluate(
    embed: Embed,
    query: Sequence[Sample],
    query_images: NDArray[np.uint8],
    gallery: Sequence[Sample],
    gallery_images: NDArray[np.uint8],
    *,
    batch: int = 64,
    gate: _Gate = nullcontext,
) -> RankingResult:
    """Embed both sets in batches and rank the gallery for every query under the usual protocol.

    Args:
        embed: as for `retrieve`.
        query: as for `retrieve`.
        query_images: as for `retrieve`.
        gallery: as for `retrieve`.
        gallery_images: as for `retrieve`.
        batch: as for `retrieve`.
        gate: as for `retrieve`; also entered around the ranking.

    Returns:
        The figures of `rank` under its usual rules.

    Raises:
        ConfigError: as in `retrieve`.
        ArtifactError: as in `retrieve`.
        DataError: as in `rank`.
    """
    found = retrieve(embed, query, query_images, gallery, gallery_images, batch=batch, gate=gate)
    with gate():
        return found.ranking()


def retrieve(
    embed: Embed,
    query: Sequence[Sample],
    query_images: NDArray[np.uint8],
    gallery: Sequence[Sample],
    gallery_images: NDArray[np.uint8],
    *,
    protocol: Protocol = _USUAL,
    multi_query: Sequence[Sample] = (),
    multi_query_images: NDArray[np.uint8] | None = None,
    batch: int = 64,
    gate: _Gate = nullcontext,
) -> Retrieval:
    """Embed both sets in batches as the protocol asks, and compute the distances that it asks for.

    Args:
        embed: takes (B, H, W, 3) uint8 RGB, 1 <= B <= batch, and gives (B, D) float32, like a runtime. With
            `protocol.scales` it must take other sizes, too.
        query: (Q,) what the query images show.
        query_images: (Q, H, W, 3) uint8 RGB, row i is query[i]; may be memory-mapped.
        gallery: (G,) what the gallery images show.
        gallery_images: (G, H, W, 3), as for the queries.
        protocol: the rules.
        multi_query: (M,) what the further images of queries show; read if `protocol.multi_query`.
        multi_query_images: (M, H, W, 3), as for the queries.
        batch: images per call, >= 1.
        gate: entered around every call of `embed` and around the distances (the device lock, shared).

    Raises:
        ConfigError: images that are no (N, H, W, 3) uint8 or not one per sample, `batch` below 1, a multi-query
            protocol without further images.
        ArtifactError: `embed` gives something else than one row per image.
        DataError: a set is empty, features are not finite, or no query has a further image.
    """
    if batch < 1:
        raise ConfigError(f"batch must be at least 1, got {batch}")
    sets = {"query": (query, query_images), "gallery": (gallery, gallery_images)}
    if protocol.multi_query:
        if multi_query_images is None or not len(multi_query):
            raise ConfigError("a multi-query protocol needs further images of the queries")
        sets["multi_query"] = (multi_query, multi_query_images)
    for name, (samples, images) in sets.items():
        _demand_images(name, samples, images)
    embed = over_views(embed, flip=protocol.flip, scales=protocol.scales)
    sides = {
        name: _labelled(name, samples, _embed_all(embed, name, images, batch, gate))
        for name, (samples, images) in sets.items()
    }
    with gate():
        queries = sides["query"]
        if protocol.multi_query:
            queries = averaged_queries(queries, sides["multi_query"])
        return Retrieval.of(queries, sides["gallery"], protocol)


def _demand_images(name: str, samples: Sequence[Sample], images: NDArray[np.uint8]) -> None:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or len(images) != len(samples):
        raise ConfigError(
            f"{name}_images must be {len(samples)} images as (N, H, W, 3) uint8, "
            f"got {images.dtype} of shape {images.shape}"
        )


def _embed_all(
    embed: Embed, name: str, images: NDArray[np.uint8], batch: int, gate: _Gate
) -> NDArray[np.float32]:
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


def _labelled(name: str, samples: Sequence[Sample], features: NDArray[np.float32]) -> Labelled:
    return Labelled.check(name, features, *ids_and_cameras(samples))
