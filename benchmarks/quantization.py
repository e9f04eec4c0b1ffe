"""Every quantization scheme on every runtime of this machine: accuracy on the test split, size, latency to fp32.

    python -m benchmarks.quantization --data DATA --osnet STATE_DICT [--resnet18 RUN] [--densenet] --work FOLDER
    python -m benchmarks.quantization --small

STATE_DICT are the public weights of OSNet x0.25 for Market-1501, RUN is a folder of `reid-pareto train`. The latency of
each file is taken in turns with that of the same network in fp32 on onnxruntime, one thread, batch 1; run it on an idle
machine. What is finished is kept in FOLDER, so the same command goes on where it was stopped, and takes again the
latencies that were not trusted. `--identities` takes a part of the dataset, `--small` generated data and an untrained
network. Nothing is selected by the test figures.
Writes results/quantization-<device>.json.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.device import one_thread, write_result
from reid.config import Target, TrialConfig
from reid.data import Sample, dataset_name
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.errors import ArtifactError
from reid.export import export_onnx
from reid.files import read_json, write_json
from reid.models import build
from reid.quantize import QuantizationSettings, offered, quantize
from reid.runtime import installed_runtimes, open_artifact
from reid.steps.data import TrialData, load_data
from reid.steps.dense import train_dense
from reid.steps.deploy import Deployed, export_float, input_spec, quantize_export
from reid.steps.score import metrics_of, score_file
from reid.steps.workshop import Workshop
from reid.timing import DeviceLock, compare
from results.cache import DiskCache

Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--osnet", type=Path, help="state dict of OSNet x0.25")
    parser.add_argument("--resnet18", type=Path, help="folder of reid-pareto train")
    parser.add_argument("--densenet", action="store_true", help="speed of DenseNet-121 against torch eager")
    parser.add_argument("--work", type=Path, help="keeps what is finished")
    parser.add_argument("--identities", type=int, help="take so many of each split; all when left out")
    parser.add_argument("--schemes", nargs="+", help="all when left out")
    parser.add_argument("--runtimes", nargs="+", help="all that are installed when left out")
    parser.add_argument("--set", nargs="*", default=[], help="name=value of a setting, e.g. qat_epochs=1")
    parser.add_argument(
        "--small", action="store_true", help="generated data, untrained ResNet-18, small images"
    )
    options = parser.parse_args()
    one_thread()
    work = options.work or Path(tempfile.mkdtemp(prefix="quantization-"))
    root = _small_data(work) if options.small else options.data
    figures: Figures = {"threads": 1, "batch": 1, "networks": {}}
    for name, config in _networks(options, root).items():
        changes = dict(text.split("=", 1) for text in options.set)
        config = TrialConfig.from_dict(config.to_dict() | {k: _number(v) for k, v in changes.items()})
        figures["networks"][name] = _network(config, root, work, options)
    if options.densenet:
        figures["densenet121"] = against_eager("densenet121")
    write_result("quantization-small" if options.small else "quantization", figures)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _small_data(work: Path) -> Path:
    root = work / "data"
    if not root.is_dir():
        prepare_synthetic(SyntheticOptions(identities=12, test_identities=4, images_per_camera=2), root)
    return root


def _networks(options: argparse.Namespace, root: Path) -> dict[str, TrialConfig]:
    common = {"dataset": dataset_name(root), "method": "none", "max_quantization_drop": 0.02} if root else {}
    if options.small:
        small = {"input_size": [96, 64], "epochs": 0, "qat_epochs": 1, "calibration_images": 16}
        batch = {"identities_per_batch": 4, "images_per_identity": 2, "validation_share": 0.3}
        return {"resnet18": TrialConfig.from_dict({**common, **small, **batch})}
    found = {}
    if options.osnet:
        found["osnet_x0_25"] = TrialConfig.from_dict(
            common
            | {
                "backbone": "osnet_x0_25",
                "weights": str(options.osnet),
                "epochs": 0,
                "input_size": [256, 128],
            }
        )
    if options.resnet18:
        trained = read_json(options.resnet18 / "config.json")
        weights = str(options.resnet18 / "model.safetensors")
        found["resnet18"] = TrialConfig.from_dict(trained | common | {"weights": weights, "epochs": 0})
    return found


def _network(config: TrialConfig, root: Path, work: Path, options: argparse.Namespace) -> Figures:
    """Figures by runtime and scheme."""
    identities, schemes = options.identities, options.schemes
    data = load_data(_workshop(config, work), root)
    if identities:
        data = _part(data, identities)
    found: Figures = {}
    reference = _deploy(config, data, work).artifact.path
    for runtime in options.runtimes or installed_runtimes():
        target, rows = Target(runtime=runtime), found.setdefault(runtime, {})
        for scheme in offered(runtime, "cpu"):
            if schemes is None or scheme in {*schemes, "fp32"}:
                trial = dataclasses.replace(config, quantization=scheme, target=target)
                try:
                    rows[scheme] = _point(trial, data, work, reference, identities)
                except ArtifactError as error:
                    rows[scheme] = {"refused": str(error)}
                print(runtime, scheme, rows[scheme], flush=True)
    return _with_drops(found)


def _with_drops(found: Figures) -> Figures:
    """The same with what each point loses of the accuracy of fp32 on ONNX Runtime, else on the first runtime."""
    places = [name for name in ("onnxruntime", *found) if "mAP" in found.get(name, {}).get("fp32", {})]
    for rows in found.values():
        for figures in rows.values():
            if places and "mAP" in figures:
                figures["mAP_drop"] = round(found[places[0]]["fp32"]["mAP"] - figures["mAP"], 4)
    return found


def _point(
    config: TrialConfig, data: TrialData, work: Path, reference: Path, identities: int | None
) -> Figures:
    deployed = _deploy(config, data, work)
    kept = work / "points" / f"{deployed.key}-{config.target.runtime}.json"
    known: Figures = dict(read_json(kept)) if kept.is_file() else {}
    if known.get("trusted"):
        return known
    figures = known or _accuracy(deployed, config.target, data, identities)
    figures |= _latency(deployed, config.target, reference)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, figures)
    return figures


def _accuracy(deployed: Deployed, target: Target, data: TrialData, identities: int | None) -> Figures:
    query, gallery = (_of(part, identities) for part in (data.dataset.query, data.dataset.gallery))
    fast = dataclasses.replace(target, threads=torch.get_num_threads(), batch=16)
    test = metrics_of(score_file(deployed.artifact.path, fast, data.dataset.root, query, gallery))
    return {
        "mAP": round(test["mAP"], 4),
        "rank1": round(test["rank1"], 4),
        "size_bytes": deployed.artifact.size_bytes,
        "test_images": [len(query), len(gallery)],
        "mixed": _mixed(deployed),
    }


def _latency(deployed: Deployed, target: Target, reference: Path) -> Figures:
    runs = [open_artifact(deployed.artifact.path, target), open_artifact(reference, Target())]
    timing = compare([run.timer() for run in runs], lock=DeviceLock("cpu"))
    ratios = timing.rounds_ms[0] / timing.rounds_ms[1]
    return {
        "latency_ms": round(float(timing.medians_ms[0]), 3),
        "ratio_to_fp32_onnxruntime": round(float(np.median(ratios)), 4),
        "trusted": timing.trusted,
    }


def _mixed(deployed: Deployed) -> Mapping[str, Any] | None:
    path = deployed.folder / "mixed.json"
    if not path.is_file():
        return None
    found = read_json(path)
    return {"chosen": found["chosen"], "float_layers": len(found["float"]), "candidates": found["candidates"]}


def _deploy(config: TrialConfig, data: TrialData, work: Path) -> Deployed:
    workshop = _workshop(config, work)
    network = train_dense(workshop, data)
    exported = export_float(workshop, data, network)
    return quantize_export(workshop, data, exported, network)


def _workshop(config: TrialConfig, work: Path) -> Workshop:
    return Workshop(config, DiskCache(work / "cache"), lambda line: print(line, flush=True))


def _part(data: TrialData, identities: int) -> TrialData:
    rows = np.flatnonzero(data.labels < identities)
    return dataclasses.replace(
        data,
        key=f"{data.key}-{identities}",
        train=tuple(data.train[row] for row in rows),
        images=np.asarray(data.images[rows]),
        labels=data.labels[rows],
        num_classes=identities,
    )


def _of(samples: tuple[Sample, ...], identities: int | None) -> tuple[Sample, ...]:
    if identities is None:
        return samples
    chosen = sorted({sample.person_id for sample in samples if sample.person_id > 0})[:identities]
    return tuple(sample for sample in samples if sample.person_id in set(chosen))


def against_eager(backbone: str) -> Figures:
    """Latency of int8-static and of fp32 files to that of the untrained network in torch eager, in turns.

    Also of int8-static as it would be with its norms in float (docs/decisions/0031-norms-before-convolutions.md).
    """
    torch.manual_seed(0)
    model = build(backbone, 2).eval()
    config = TrialConfig(backbone=backbone, input_size=(256, 128))
    images = np.random.default_rng(0).integers(0, 256, (16, 256, 128, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        source = export_onnx(model, input_spec(config, model), Path(folder) / "float.onnx")
        integer = quantize(source, "int8-static", images, Path(folder) / "int8.onnx")
        plain = QuantizationSettings(integer_norms=False)
        float_norms = quantize(source, "int8-static", images, Path(folder) / "float_norms.onnx", plain)
        runtimes = [open_artifact(artifact.path, Target()) for artifact in (source, integer, float_norms)]
        batch = torch.from_numpy(source.spec.normalise(images[:1]))

        def eager() -> None:
            with torch.inference_mode():
                model(batch)

        timing = compare([eager, *(runtime.timer() for runtime in runtimes)], lock=DeviceLock("cpu"))
    eager_ms, float_ms, int8_ms, float_norms_ms = (round(float(value), 3) for value in timing.medians_ms)
    return {
        "eager_ms": eager_ms,
        "fp32_ms": float_ms,
        "int8_static_ms": int8_ms,
        "int8_static_with_float_norms_ms": float_norms_ms,
        "eager_to_int8": round(eager_ms / int8_ms, 2),
        "trusted": timing.trusted,
    }


if __name__ == "__main__":
    main()
