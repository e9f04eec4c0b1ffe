"""How faithfully int8 files compute on this processor, with weights of eight and of seven bits.

python -m benchmarks.seven_bits    writes results/seven-bits-<device>.json

Smallest cosine over generated pedestrians between a quantized graph in exact arithmetic and its file on each target.
Untrained networks: what is cut off depends on the sizes of products, not on what they mean.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.device import write_result
from reid.config import Target, TrialConfig
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.export import export_onnx
from reid.models import build
from reid.quantize import QuantizationSettings
from reid.quantize.graph_network import GraphNetwork
from reid.quantize.ranges import calibrate_file
from reid.quantize.schemes import write_quantized
from reid.runtime import open_artifact, parity, usable_devices
from reid.steps.data import load_data
from reid.steps.deploy import input_spec
from reid.steps.workshop import Workshop
from reid.timing.machine import int8_saturates
from results import DiskCache

BACKBONES = ("resnet18", "osnet_x0_25")
TARGETS = ("onnxruntime", "openvino", "torchscript", "torchscript-qnnpack")
IMAGES = 64


def images(folder: Path) -> NDArray[np.uint8]:
    """(N, 128, 64, 3): training images of generated pedestrians."""
    prepare_synthetic(SyntheticOptions(identities=24, test_identities=4), folder / "data")
    work = Workshop(TrialConfig(input_size=(128, 64)), DiskCache(folder / "cache"), lambda line: None)
    return np.asarray(load_data(work, folder / "data").images[: 2 * IMAGES])


def cosines(backbone: str, bits: int, shown: NDArray[np.uint8], folder: Path) -> dict[str, float]:
    """Target -> smallest cosine between the exact graph and its file."""
    torch.manual_seed(0)
    model = build(backbone, 2)
    config = TrialConfig(backbone=backbone, input_size=(128, 64))
    spec = input_spec(config, model)
    with torch.no_grad():  # statistics of real activations, as a trained network has them
        model.train()(torch.from_numpy(spec.normalise(shown[:IMAGES])))
    source = export_onnx(model.eval(), spec, folder / "float.onnx")
    settings = QuantizationSettings(weight_bits=bits)
    start = calibrate_file(source.path, spec, shown[:IMAGES], settings)
    exact = GraphNetwork(start.graph(), start.model, bits).eval()
    write_quantized(start.graph(), spec, "int8-static", folder / "int8.onnx")
    return {
        runtime: round(
            parity(exact, open_artifact(folder / "int8.onnx", Target(runtime=runtime)), shown[IMAGES:]), 6
        )
        for runtime in TARGETS
        if usable_devices(runtime)
    }


def main() -> None:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        shown = images(Path(name))
        for backbone in BACKBONES:
            found[backbone] = {f"{bits} bits": cosines(backbone, bits, shown, Path(name)) for bits in (8, 7)}
            print(backbone, found[backbone], flush=True)
    write_result("seven-bits", {"saturates": int8_saturates(), "smallest_cosine": found})


if __name__ == "__main__":
    main()
