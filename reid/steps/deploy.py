"""Steps 6 and 7: export the network with its input specification, then quantize the exported file."""

from dataclasses import dataclass
from pathlib import Path

from reid.config import TrialConfig
from reid.data import MEAN, STD, Sample
from reid.export import MODEL_FILE, Artifact, InputSpec, export_onnx
from reid.files import read_json, write_json
from reid.models import ReIDNetwork
from reid.quantize import calibration_samples, quantize
from reid.runtime import check_parity, open_artifact
from reid.steps.data import TrialData
from reid.steps.dense import Network
from reid.steps.workshop import Workshop

__all__ = ["SPEC_FILE", "Deployed", "calibrate", "export_float", "input_spec", "quantize_export"]

SPEC_FILE = "input_spec.json"
PARITY_IMAGES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """An exported file, the folder that holds it with its input specification, and the content key of both."""

    artifact: Artifact
    folder: Path
    key: str


def input_spec(config: TrialConfig, model: ReIDNetwork) -> InputSpec:
    """How images reach `model`: the preprocessing that it was trained with."""
    height, width = config.input_size
    return InputSpec(height=height, width=width, mean=MEAN, std=STD, embedding_dim=model.embedding_dim)


def export_float(work: Workshop, data: TrialData, network: Network) -> Deployed:
    """The fp32 file of a network, its embeddings proven equal to those of torch.

    Raises:
        ArtifactError: the exported file computes something else.
    """
    spec = input_spec(work.config, network.model)

    def compute(folder: Path) -> None:
        with work.lock.shared():
            artifact = export_onnx(network.model, spec, folder / MODEL_FILE)
            runtime = open_artifact(artifact.path, work.config.target)
            cosine = check_parity(network.model, runtime, data.query_images[:PARITY_IMAGES])
        write_json(folder / SPEC_FILE, spec.to_dict())
        write_json(folder / "checks.json", {"parity_min_cosine": cosine})

    # The runtime counts: parity was checked on it, and what is evaluated from the file runs on it too.
    parameters = {
        "spec": spec.to_dict(),
        "runtime": work.config.target.runtime,
        "device": work.config.target.device,
    }
    folder, key = work.stage("export", 2, parameters, (network.key,), compute)
    work.checks |= read_json(folder / "checks.json")
    return Deployed(artifact=Artifact.of(folder / MODEL_FILE, spec, "fp32"), folder=folder, key=key)


def quantize_export(work: Workshop, data: TrialData, exported: Deployed) -> Deployed:
    """The file in the scheme that the trial asks for; `exported` itself when that is fp32."""
    config = work.config
    spec = exported.artifact.spec
    if config.quantization == "fp32":
        return exported

    def compute(folder: Path) -> None:
        images = data.images[list(calibrate(config, data))]
        with work.lock.shared():
            artifact = quantize(exported.artifact, config.quantization, images, folder / MODEL_FILE)
        write_json(folder / SPEC_FILE, spec.to_dict())
        write_json(folder / "layers.json", artifact.layers)

    parameters = {"scheme": config.quantization, "images": config.calibration_images, "seed": config.seed}
    folder, key = work.stage("quantize", 2, parameters, (exported.key, data.key), compute)
    work.checks["layers"] = read_json(folder / "layers.json")
    artifact = Artifact.of(folder / MODEL_FILE, spec, config.quantization)
    return Deployed(artifact=artifact, folder=folder, key=key)


def calibrate(config: TrialConfig, data: TrialData, count: int | None = None) -> tuple[int, ...]:
    """Rows of the training images that calibrate int8; a test image among them is refused."""
    forbidden: tuple[Sample, ...] = data.dataset.query + data.dataset.gallery
    return calibration_samples(
        data.train, count or config.calibration_images, config.seed, (sample.path for sample in forbidden)
    )
