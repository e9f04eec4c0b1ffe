"""Proof that an exported file computes what its torch network computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reid.errors import ArtifactError
from reid.export.artifact import FLOAT_SCHEMES
from reid.runtime.base import unit_length

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from reid.runtime.base import Runtime

__all__ = ["LEAST_COSINE", "check_parity", "parity"]

LEAST_COSINE = 0.999
"""Smallest cosine between the torch and the exported embedding of one image that counts as equal."""


def parity(model: nn.Module, runtime: Runtime, images: NDArray[np.uint8]) -> float:
    """Smallest cosine between the embeddings of `model` and of `runtime`, over the images.

    Args:
        model: the torch network that was exported; it is left in its mode.
        runtime: the exported file, opened.
        images: (N, height, width, 3) uint8, RGB, N >= 1.

    Returns:
        In [-1, 1]; NaN where either side gives NaN.
    """
    ours = _torch_embeddings(model, runtime, images)
    theirs = runtime.embed(images)
    return float(np.min(np.sum(ours * theirs, axis=1)))


def check_parity(model: nn.Module, runtime: Runtime, images: NDArray[np.uint8]) -> float:
    """The `parity`, which must reach `LEAST_COSINE` for a float scheme; for int8 the mAP decides instead.

    Raises:
        ArtifactError: the exported float network computes something else than `model`.
    """
    cosine = parity(model, runtime, images)
    # Written so that NaN fails too.
    if runtime.scheme in FLOAT_SCHEMES and not cosine >= LEAST_COSINE:
        raise ArtifactError(
            f"the exported {runtime.scheme} network differs from torch: smallest cosine {cosine:.6f} over "
            f"{len(images)} images, at least {LEAST_COSINE} wanted"
        )
    return cosine


def _torch_embeddings(model: nn.Module, runtime: Runtime, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    import torch  # here, so that opening an artifact does not need torch

    from reid.models.modes import evaluating

    device = next(model.parameters()).device
    total = np.zeros((len(images), runtime.spec.embedding_dim))
    with evaluating(model), torch.inference_mode():
        for view in runtime.spec.views(images):
            embedding = model(torch.from_numpy(runtime.spec.normalise(view)).to(device))
            total += torch.nn.functional.normalize(embedding, dim=1).cpu().numpy()
    return unit_length(total)
