"""Step 6 for int8-qat: the int8 graph is trained to embed as the float network does, then written.

The graph that is trained is the one that int8-static would write (`reid.quantize.graph_network`), so rounding stands
where the runtime rounds. The float network teaches it; identities are not looked at.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reid.config import TrialConfig
from reid.data import Sample
from reid.errors import ArtifactError
from reid.export import MODEL_FILE, Artifact
from reid.files import write_json, write_with
from reid.quantize import QuantizationSettings, calibration_samples
from reid.quantize.graph_network import GraphNetwork
from reid.quantize.ranges import Calibrated, calibrate_file
from reid.quantize.schemes import write_quantized
from reid.runtime import Runtime
from reid.runtime.base import unit_length
from reid.runtime.convert import LEAST_INT8_COSINE
from reid.steps.data import TrialData
from reid.steps.dense import Network, fit
from reid.steps.teach import teach_by_network
from reid.steps.workshop import CHECKPOINT, Workshop
from reid.timing.machine import int8_saturates

__all__ = [
    "FLOAT_NORMS",
    "calibrate",
    "calibrated",
    "check_trained",
    "settings_of",
    "train_quantized",
    "weight_bits_of",
]

CHECK_IMAGES = 32
EMBEDDED = "embedded.npy"
"""What the trained graph makes of the first images."""

EXACT = frozenset({"torchscript-qnnpack"})
"""Runtimes whose integer products never saturate."""

FLOAT_NORMS = frozenset({"torchscript", "torchscript-qnnpack"})
"""Runtimes whose integer kernels are slow for one input channel a group (docs/decisions/0031)."""


def settings_of(config: TrialConfig) -> QuantizationSettings:
    """How the trial takes ranges, how many bits weights have, and what becomes of batch normalisation."""
    return QuantizationSettings(
        calibration=config.calibration,
        equalize=config.equalize,
        integer_norms=config.target.runtime not in FLOAT_NORMS,
        weight_bits=weight_bits_of(config),
    )


def weight_bits_of(config: TrialConfig) -> int:
    """Bits of the weights of an int8 file: as asked, or what the target's processor multiplies exactly."""
    if config.weight_bits:
        return config.weight_bits
    saturates = config.target.device == "cpu" and config.target.runtime not in EXACT and int8_saturates()
    return 7 if saturates else 8


def calibrate(config: TrialConfig, data: TrialData, count: int | None = None) -> tuple[int, ...]:
    """Rows of the training images that calibrate int8; a test image among them is refused."""
    forbidden: tuple[Sample, ...] = data.dataset.query + data.dataset.gallery
    return calibration_samples(
        data.train, count or config.calibration_images, config.seed, (sample.path for sample in forbidden)
    )


def calibrated(work: Workshop, data: TrialData, artifact: Artifact, count: int | None = None) -> Calibrated:
    """The fp32 file with the ranges of its activations.

    Args:
        work: the trial.
        data: its images.
        artifact: an fp32 file.
        count: calibration images; None takes as many as the trial says.
    """
    images = data.images[list(calibrate(work.config, data, count))]
    with work.lock.shared():
        return calibrate_file(artifact.path, artifact.spec, images, settings_of(work.config))


def train_quantized(
    work: Workshop, data: TrialData, exported: Artifact, network: Network, parameters: Mapping[str, Any]
) -> Path:
    """Train the int8 graph of `exported`, or take it out of the cache; resumes after each epoch.

    Args:
        work: the trial.
        data: training images.
        exported: the fp32 file.
        network: what was exported; it teaches.
        parameters: how it is quantized and trained.

    Returns:
        Folder of the file, its layers, its curve and what the trained graph embeds.

    Raises:
        ArtifactError: an operator cannot be trained.
    """

    def compute(folder: Path) -> None:
        start = calibrated(work, data, exported)
        with work.lock.shared():
            student = GraphNetwork(start.graph(), start.model, start.weight_bits)
        taught = teach_by_network(work, data, network, view="upright")
        curve = fit(work, student, data, "qat", folder / CHECKPOINT, taught=taught)
        with work.lock.shared():
            layers = write_quantized(student.write(), exported.spec, "int8-qat", folder / MODEL_FILE)
            embedded = _embedded(student, exported, data.query_images[:CHECK_IMAGES])
        write_with(folder / EMBEDDED, lambda path: np.save(path, embedded, allow_pickle=False))
        write_json(folder / "curve.json", curve)
        write_json(folder / "layers.json", layers)

    # No runtime among the inputs: the graph is the same for all that multiply alike.
    folder, _ = work.stage("qat", 2, parameters, (network.key, data.key), compute)
    return folder


def check_trained(runtime: Runtime, images: NDArray[np.uint8], trained: Path) -> float:
    """Smallest cosine between what a runtime makes of the trained file and what the trained graph embeds.

    Raises:
        ArtifactError: the file computes something else than what was trained.
    """
    ours = unit_length(np.load(trained / EMBEDDED, allow_pickle=False).astype(np.float64))
    cosine = float(np.min(np.sum(ours * runtime.embed(images[:CHECK_IMAGES]), axis=1)))
    # Rounding that falls the other way once is carried on by all later layers. Written so that NaN fails too.
    if not cosine >= LEAST_INT8_COSINE:
        raise ArtifactError(
            f"the int8-qat file differs from the graph that was trained: smallest cosine {cosine:.6f}, "
            f"at least {LEAST_INT8_COSINE} wanted"
        )
    return cosine


def _embedded(student: GraphNetwork, exported: Artifact, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    student.eval()
    spec = exported.spec
    with torch.inference_mode():
        # As the runtime gets them: the last bit of a pixel decides how it is rounded.
        views = [student(torch.from_numpy(spec.normalise(view))).numpy() for view in spec.views(images)]
    total: NDArray[np.float32] = np.sum(views, axis=0, dtype=np.float32)
    return total
