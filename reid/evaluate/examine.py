"""A split of a dataset, searched by an exported file or by weights."""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.data import Sample, decode_images, progress_lines
from reid.evaluate.embedder import Embedder
from reid.evaluate.evaluate_runtime import retrieve
from reid.evaluate.labelled import Labels, ids_and_cameras, matching_pairs, ranked_in_gallery
from reid.evaluate.protocol import Protocol
from reid.evaluate.retrieval import Retrieval

__all__ = ["Examined", "examine"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examined:
    """A retrieval with the pixels it was made from.

    Attributes:
        found: the retrieval.
        query_images: (Q, H, W, 3) uint8 RGB.
        gallery_images: (G, H, W, 3) uint8 RGB.
    """

    found: Retrieval
    query_images: NDArray[np.uint8]
    gallery_images: NDArray[np.uint8]


def examine(
    embedder: Embedder,
    root: Path,
    query: Sequence[Sample],
    gallery: Sequence[Sample],
    protocol: Protocol,
    multi_query: Sequence[Sample] = (),
    *,
    gate: Callable[[], AbstractContextManager[None]] = nullcontext,
    say: Callable[[str], None] = lambda line: None,
) -> Examined:
    """Decode, embed and compare; the test split is for members of the front and for picks only.

    Args:
        embedder: what embeds.
        root: of the dataset, beside which decoded images are kept.
        query: samples that are searched for.
        gallery: samples that are searched in.
        protocol: the rules.
        multi_query: further images of queries; decoded only if the protocol asks for them.
        gate: entered around every piece of computing; holds a device so that no timing runs beside it.
        say: told how far the decoding is, where it takes long.

    Raises:
        ConfigError: scales of what takes one size, or a multi-query protocol without further images.
        DataError: no query has any match, an image is damaged, features are not finite, or no query has a further
            image.
        ArtifactError: the embeddings are not one row per image.
    """
    stated, left = embedder.divide(protocol)
    _demand_a_match(query, gallery, left)

    def decode(samples: Sequence[Sample]) -> NDArray[np.uint8]:
        told = progress_lines(say)
        return decode_images(samples, embedder.input_size, root, gate=gate, progress=told).array

    query_images, gallery_images = decode(query), decode(gallery)
    found = retrieve(
        embedder.embed,
        query,
        query_images,
        gallery,
        gallery_images,
        protocol=left,
        multi_query=multi_query,
        multi_query_images=decode(multi_query) if protocol.multi_query and multi_query else None,
        gate=gate,
    )
    return Examined(
        found=dataclasses.replace(found, protocol=stated),
        query_images=query_images,
        gallery_images=gallery_images,
    )


def _demand_a_match(query: Sequence[Sample], gallery: Sequence[Sample], protocol: Protocol) -> None:
    """Labels alone tell that nothing can be found; decoding and embedding would take minutes to come to that."""
    sides = {}
    for name, samples in (("query", query), ("gallery", gallery)):
        sides[name] = Labels.of(name, len(samples), *ids_and_cameras(samples))
    ranked = sides["gallery"].take(ranked_in_gallery(sides["gallery"], protocol))
    matching_pairs(sides["query"], ranked, protocol)
