"""Latency, size and closeness of int8-static against fp32: ResNet-18 and OSNet x0.25, dense and slimmed.

Latency and size do not depend on the values of the weights, so ResNet-18 is untrained; OSNet takes a trained state
dict if one is given. "alternating" times both files in turns, when each pushes the other's weights out of the cache.
Run it on an idle machine: `trusted` says whether it was.

python -m benchmarks.int8_static [OSNET_X0_25_STATE_DICT]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.device import one_thread, write_result
from reid.config import Target, TrialConfig
from reid.data import MEAN, STD
from reid.export import InputSpec, export_onnx
from reid.models import ReIDNetwork, build
from reid.prune import planned, slim
from reid.quantize import quantize
from reid.runtime import open_artifact, parity
from reid.timing import DeviceLock, measure

SIZE = (256, 128)
POINTS = [("resnet18", 0.0), ("resnet18", 0.5), ("resnet18", 0.9)]
POINTS += [("osnet_x0_25", 0.0), ("osnet_x0_25", 0.5), ("osnet_x0_25", 0.9)]


def network(backbone: str, rate: float, weights: str | None) -> ReIDNetwork:
    torch.manual_seed(0)
    dense = build(backbone, 751, weights=weights if backbone.startswith("osnet") else None).eval()
    config = TrialConfig(backbone=backbone, prune_rate=rate, scope="grouped")
    return slim(dense, planned(dense, config, round_to=16)).eval() if rate else dense


def point(backbone: str, rate: float, weights: str | None, folder: Path) -> dict[str, object]:
    model = network(backbone, rate, weights)
    height, width = SIZE
    spec = InputSpec(height=height, width=width, mean=MEAN, std=STD, embedding_dim=model.embedding_dim)
    images = np.random.default_rng(0).integers(0, 256, (32, *SIZE, 3), dtype=np.uint8)
    float_file = export_onnx(model, spec, folder / "float.onnx")
    int8_file = quantize(float_file, "int8-static", images, folder / "int8.onnx")
    runtimes = [open_artifact(file.path, Target()) for file in (float_file, int8_file)]
    run_float, run_int8 = (runtime.timer() for runtime in runtimes)
    lock = DeviceLock("cpu")
    alone_float, alone_int8 = measure(run_float, lock=lock), measure(run_int8, lock=lock)
    turns = measure(run_int8, lock=lock, reference=run_float)
    return {
        "backbone": backbone,
        "prune_rate": rate,
        "alone_ms": {"fp32": alone_float.latency_ms, "int8": alone_int8.latency_ms},
        "alone_ratio": alone_float.latency_ms / alone_int8.latency_ms,
        "alternating_ms": {"fp32": turns.reference_ms, "int8": turns.latency_ms},
        "trusted": alone_float.trusted and alone_int8.trusted and turns.trusted,
        "size_bytes": {"fp32": float_file.size_bytes, "int8": int8_file.size_bytes},
        "smallest_cosine": parity(model, runtimes[1], images),
    }


def main() -> None:
    one_thread()
    weights = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        points = [point(backbone, rate, weights, Path(folder)) for backbone, rate in POINTS]
    write_result("int8-static", {"threads": 1, "batch": 1, "input_size": SIZE, "points": points})


if __name__ == "__main__":
    main()
