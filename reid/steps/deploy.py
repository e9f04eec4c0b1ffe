"""Steps 6 and 7: export the network with its input specification, then quantize the exported file."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.config import TrialConfig
from reid.data import MEAN, STD
from reid.export import FLOAT_SCHEMES, MODEL_FILE, Artifact, InputSpec, export_onnx
from reid.files import read_json, write_atomic, write_json
from reid.models import ReIDNetwork
from reid.quantize import CALIBRATED, quantize
from reid.quantize.schemes import Layers
from reid.runtime import check_parity, open_artifact, version_of
from reid.runtime.convert import check_conversion
from reid.steps.data import TrialData
from reid.steps.dense import Network, stage_parameters
from reid.steps.mixed import choose_mixed
from reid.steps.qat import calibrate, calibrated, check_trained, settings_of, train_quantized, weight_bits_of
from reid.steps.workshop import Workshop
from reid.timing.machine import cpu_name

__all__ = ["SPEC_FILE", "Deployed", "export_float", "input_spec", "quantize_export"]

SPEC_FILE = "input_spec.json"
EXPORT_VERSION, QUANTIZE_VERSION = 3, 5
PARITY_IMAGES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """An exported file, the folder that holds it with its input specification, and the content key of both."""

    artifact: Artifact
    folder: Path
    key: str


def input_spec(config: TrialConfig, model: ReIDNetwork) -> InputSpec:
    """How images reach `model`: the preprocessing that it was trained with, and whether mirror images are added."""
    height, width = config.input_size
    return InputSpec(
        height=height,
        width=width,
        mean=MEAN,
        std=STD,
        embedding_dim=model.embedding_dim,
        flip=config.flip_embedding,
    )


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
    folder, key = work.stage("export", EXPORT_VERSION, parameters, (network.key,), compute)
    work.checks |= read_json(folder / "checks.json")
    return Deployed(artifact=Artifact.of(folder / MODEL_FILE, spec, "fp32"), folder=folder, key=key)


def quantize_export(work: Workshop, data: TrialData, exported: Deployed, network: Network) -> Deployed:
    """The file in the scheme that the trial asks for; `exported` itself when that is fp32.

    Args:
        work: the trial.
        data: its images.
        exported: the fp32 file.
        network: what was exported; int8-qat learns from it.

    Raises:
        ArtifactError: a file in 16 bits embeds otherwise than the fp32 file, or an int8-qat file otherwise than the
            graph that was trained.
    """
    config = work.config
    spec = exported.artifact.spec
    if config.quantization == "fp32":
        return exported

    def compute(folder: Path) -> None:
        layers = _WRITERS.get(config.quantization, _write_directly)(work, data, exported, network, folder)
        write_json(folder / SPEC_FILE, spec.to_dict())
        write_json(folder / "layers.json", layers)

    folder, key = work.stage(
        "quantize", QUANTIZE_VERSION, _parameters(config), (exported.key, data.key), compute
    )
    _note(work, folder)
    artifact = Artifact.of(folder / MODEL_FILE, spec, config.quantization)
    return Deployed(artifact=artifact, folder=folder, key=key)


def _parameters(config: TrialConfig) -> dict[str, Any]:
    scheme = config.quantization
    parameters: dict[str, Any] = {"scheme": scheme}
    if scheme in CALIBRATED:
        parameters |= {
            "images": config.calibration_images,
            "seed": config.seed,
            "calibration": config.calibration,
            "equalize": config.equalize,
            "integer_norms": settings_of(config).integer_norms,
            "weight_bits": weight_bits_of(config),
        }
    if scheme == "int8-qat":
        # 2: biases of layers that run in several places are trained for all of them.
        parameters |= stage_parameters(config, "qat") | {"revision": 2}
    if scheme == "int8-mixed":
        # What is fast here need not be so elsewhere.
        parameters |= {
            "target": dataclasses.asdict(config.target),
            "processor": cpu_name(),
            "version": version_of(config.target.runtime),
            "max_drop": config.max_quantization_drop,
        }
    return parameters


def _note(work: Workshop, folder: Path) -> None:
    """Put what a quantization left beside its file into the record."""
    work.checks["layers"] = read_json(folder / "layers.json")
    if work.config.quantization in CALIBRATED:
        work.checks["weight_bits"] = weight_bits_of(work.config)
    if (folder / "mixed.json").is_file():
        work.checks["mixed"] = read_json(folder / "mixed.json")
    if (folder / "qat.json").is_file():
        work.checks |= read_json(folder / "qat.json")
        work.curves += [{"stage": "qat", **epoch} for epoch in read_json(folder / "curve.json")]


def _write_directly(
    work: Workshop, data: TrialData, exported: Deployed, network: Network, folder: Path
) -> Layers | None:
    config = work.config
    images = data.images[list(calibrate(config, data))]
    with work.lock.shared():
        artifact = quantize(
            exported.artifact, config.quantization, images, folder / MODEL_FILE, settings_of(config)
        )
        if config.quantization in FLOAT_SCHEMES:
            files = (exported.artifact.path, artifact.path)
            source, half = (open_artifact(path, config.target) for path in files)
            check_conversion(source, half, data.query_images[:PARITY_IMAGES])
    return artifact.layers


def _write_trained(
    work: Workshop, data: TrialData, exported: Deployed, network: Network, folder: Path
) -> Layers:
    config = work.config
    # The file that is trained is made by both stages, so what changes them changes it.
    parameters = _parameters(config) | {"versions": [EXPORT_VERSION, QUANTIZE_VERSION]}
    if config.flip_embedding:
        parameters["flip"] = True  # the file says so itself
    trained = train_quantized(work, data, exported.artifact, network, parameters)
    write_atomic(folder / MODEL_FILE, (trained / MODEL_FILE).read_bytes())
    write_json(folder / "curve.json", read_json(trained / "curve.json"))
    with work.lock.shared():
        runtime = open_artifact(folder / MODEL_FILE, config.target)
        cosine = check_trained(runtime, data.query_images, trained)
    write_json(folder / "qat.json", {"qat_parity_min_cosine": cosine})
    layers: Layers = read_json(trained / "layers.json")
    return layers


def _write_mixed(
    work: Workshop, data: TrialData, exported: Deployed, network: Network, folder: Path
) -> Layers:
    start = calibrated(work, data, exported.artifact)
    return choose_mixed(work, data, exported.artifact, start, folder)


_WRITERS = {"int8-qat": _write_trained, "int8-mixed": _write_mixed}
