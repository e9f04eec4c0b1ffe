"""Step 8: evaluate the exported file itself, on identities that no training saw."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reid.config import Target
from reid.data import Sample
from reid.errors import ArtifactError
from reid.evaluate import Protocol, RankingResult, evaluate
from reid.evaluate.embedder import open_file
from reid.evaluate.examine import examine
from reid.files import read_json, write_json
from reid.models import code_key, network_options
from reid.runtime import for_embedding, open_artifact
from reid.steps.data import TrialData
from reid.steps.dense import dense_skeleton
from reid.steps.deploy import Deployed
from reid.steps.workshop import Workshop
from reid.timing import DeviceLock
from reid.train import embed

__all__ = ["PROTOCOL", "metrics_of", "score_file", "score_on_validation", "untrained_mean_ap"]

PROTOCOL = (
    "validation identities, one query per identity and camera, single-query, cosine, same camera excluded"
)


def metrics_of(ranking: RankingResult) -> dict[str, float]:
    """The figures of a ranking that go into a record, as fractions."""
    return {
        "mAP": ranking.mAP,
        "mAP_trapezoid": ranking.mAP_trapezoid,
        "rank1": ranking.rank1,
        "rank5": ranking.rank5,
        "rank10": ranking.rank10,
    }


def score_on_validation(work: Workshop, data: TrialData, deployed: Deployed) -> dict[str, float]:
    """Retrieval accuracy of an exported file on the validation identities, with all cores the trial may use."""

    def compute(folder: Path) -> None:
        with work.lock.shared():
            runtime = open_artifact(
                deployed.artifact.path, for_embedding(work.config.target, torch.get_num_threads())
            )
        write_json(folder / "metrics.json", metrics_of(_rank(work, data, runtime.embed)))

    folder, _ = work.stage("evaluate", 1, {"protocol": PROTOCOL}, (deployed.key, data.key), compute)
    metrics: dict[str, float] = read_json(folder / "metrics.json")
    return metrics


def untrained_mean_ap(work: Workshop, data: TrialData) -> float:
    """Mean average precision of the same network with random weights: what any trained one must beat."""
    model = dense_skeleton(work.config, data)

    def compute(folder: Path) -> None:
        ranking = _rank(work, data, lambda images: embed(model, images))
        write_json(folder / "metrics.json", metrics_of(ranking))

    parameters = {
        "backbone": code_key(work.config.backbone),
        "options": asdict(network_options(work.config)),
        "seed": work.config.seed,
    }
    folder, _ = work.stage("untrained", 3, parameters, (data.key,), compute)
    return float(read_json(folder / "metrics.json")["mAP"])


def score_file(
    model: Path, target: Target, root: Path, query: Sequence[Sample], gallery: Sequence[Sample]
) -> RankingResult:
    """Retrieval accuracy of an exported file; the test split is for members of the front and for picks only.

    Timings of other processes on this machine wait between its batches, and are not disturbed.

    Args:
        model: the ONNX file.
        target: runtime and device to embed with.
        root: of the dataset, beside which decoded images are kept.
        query: samples that are searched for.
        gallery: samples that are searched in.

    Raises:
        DataError: an image is damaged, or no query has a match.
        ArtifactError: the file cannot be opened.
    """
    lock = DeviceLock(target.device, beside=("cpu",))
    with lock.shared():
        network = open_file(model, for_embedding(target, torch.get_num_threads()))
    found = examine(network, root, query, gallery, Protocol(), gate=lock.shared).found
    with lock.shared():
        return found.ranking()


def _rank(
    work: Workshop, data: TrialData, embed_images: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> RankingResult:
    def embed_finite(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = embed_images(images)
        if not np.isfinite(found).all():
            raise ArtifactError(
                f"embeddings of validation images are not finite in {work.config.quantization}"
            )
        return found

    return evaluate(
        embed_finite, data.query, data.query_images, data.gallery, data.gallery_images, gate=work.lock.shared
    )
