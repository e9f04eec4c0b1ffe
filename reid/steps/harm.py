"""What int8 costs in accuracy, measured on calibration images of training identities: validation stays untouched."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from reid.evaluate import rank
from reid.export import Artifact, InputSpec
from reid.quantize.graph_network import GraphNetwork
from reid.quantize.ranges import Calibrated
from reid.runtime import Runtime, open_artifact
from reid.steps.data import TrialData
from reid.steps.workshop import Workshop

__all__ = ["Judge", "layer_harm"]

_HARM_IMAGES = 8
_PER_IDENTITY = 4
_JUDGING_IMAGES = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judge:
    """Compares a file with the fp32 file on images of identities that were trained on.

    Attributes:
        images: (N, H, W, 3) uint8.
        labels: (N,) int64 identities.
        embeddings: (N, D) of the fp32 file, each of length 1.
        work: gives the lock.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    work: Workshop

    @classmethod
    def of(cls, work: Workshop, data: TrialData, exported: Artifact) -> Self:
        """Draw the images: a few of each identity, as the trial's seed says."""
        rows = _judging_rows(data.labels, work.config.seed)
        images = np.asarray(data.images[rows])
        with work.lock.shared():
            embeddings = open_artifact(exported.path, work.config.target).embed(images)
        return cls(images=images, labels=data.labels[rows], embeddings=embeddings, work=work)

    def __call__(self, runtime: Runtime) -> tuple[float, float]:
        """One minus the mean cosine to the fp32 embeddings, and the mean average precision lost."""
        with self.work.lock.shared():
            found = runtime.embed(self.images)
        error = 1 - float(np.sum(found * self.embeddings, axis=1).mean())
        return error, self._mean_ap(self.embeddings) - self._mean_ap(found)

    def _mean_ap(self, embeddings: NDArray[np.float32]) -> float:
        # Each image is a query, and as if a camera of its own, so that only the image itself is left out.
        cameras = np.arange(len(self.labels))
        return rank(embeddings, self.labels, cameras, embeddings, self.labels, cameras).mAP


def layer_harm(work: Workshop, data: TrialData, spec: InputSpec, start: Calibrated) -> dict[str, float]:
    """For each layer, one minus the mean cosine to the float embeddings when it alone is int8.

    Args:
        work: the trial.
        data: its training images.
        spec: input specification of the file.
        start: the calibrated file.
    """
    with work.lock.shared():
        network = GraphNetwork(start.graph(), start.model, start.weight_bits).eval()
        batch = torch.from_numpy(
            spec.normalise(
                np.asarray(data.images[:: max(1, len(data.images) // _HARM_IMAGES)])[:_HARM_IMAGES]
            )
        )
        wanted = _embed(network, batch, ())
    harm = {}
    for layer in network.layers:
        with work.lock.shared():
            found = _embed(network, batch, (layer.name,))
        harm[layer.name] = max(0.0, 1 - float((found * wanted).sum(dim=1).mean()))
    return harm


def _embed(network: GraphNetwork, batch: torch.Tensor, layers: tuple[str, ...]) -> torch.Tensor:
    network.only(layers)
    with torch.inference_mode():
        embedding: torch.Tensor = network(batch)
    return embedding.double()


def _judging_rows(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Rows of up to four images of each of some identities, 256 in all."""
    rng = np.random.default_rng(seed)
    rows: list[int] = []
    for label in rng.permutation(np.unique(labels)):
        own = np.flatnonzero(labels == label)
        if len(own) > 1:
            rows += rng.permutation(own)[:_PER_IDENTITY].tolist()
        if len(rows) >= _JUDGING_IMAGES:
            break
    return np.array(sorted(rows), dtype=np.int64)
