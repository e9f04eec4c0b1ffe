"""Four ways to add a narrow block output to a residual stream of full width, timed in onnxruntime.

python -m benchmarks.residual_join

The figures stand in docs/decisions/0002-residual-join.md.
"""

import logging
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from torch import Tensor, nn

from benchmarks.device import one_thread, write_result
from reid.models import ReIDNetwork, build
from reid.prune import PrunePlan, decay, find_units, slim
from reid.prune.slim import Widen

SIZES, RATES, ROUNDS, MULTIPLE = ((128, 64), (256, 128)), (0.5, 0.9), 150, 16


class ConcatGather(nn.Module):
    """One zero channel appended, then every output channel gathered."""

    def __init__(self, widen: Widen) -> None:
        super().__init__()
        present = widen.weight.flatten(1)
        places = torch.where(present.any(1), present.argmax(1), present.shape[1])
        self.register_buffer("places", places)

    def forward(self, x: Tensor) -> Tensor:
        """(B, kept, H, W) to (B, width, H, W)."""
        return F.pad(x, (0, 0, 0, 0, 0, 1)).index_select(1, self.places)


class Scatter(nn.Module):
    """The channels copied into a map of zeros."""

    def __init__(self, widen: Widen) -> None:
        super().__init__()
        self.width = len(widen.weight)
        self.register_buffer("places", widen.weight.flatten(1).argmax(0))

    def forward(self, x: Tensor) -> Tensor:
        """(B, kept, H, W) to (B, width, H, W)."""
        zeros = torch.zeros(x.shape[0], self.width, x.shape[2], x.shape[3])
        return zeros.index_copy(1, self.places, x)


class Noise(CalibrationDataReader):
    """Four random images; the figures are about time, not accuracy."""

    def __init__(self, size: tuple[int, int]) -> None:
        random = np.random.default_rng(0)
        self.batches = iter([{"images": random.standard_normal((1, 3, *size), np.float32)} for _ in range(4)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next image, or None at the end."""
        return next(self.batches, None)


def variants(rate: float) -> dict[str, ReIDNetwork]:
    """ResNet-18 slimmed inside its blocks by the same random plan, with each join."""
    torch.manual_seed(0)
    dense = build("resnet18", 10).eval()
    kept = {}
    units = find_units(dense, "inner")
    for unit in units:
        count = -(-int(unit.width * (1 - rate) + 0.5) // MULTIPLE) * MULTIPLE
        kept[unit.name] = tuple(sorted(torch.randperm(unit.width)[:count].tolist()))
    plan = PrunePlan(units=units, kept=kept)
    decay(dense, units, plan, 0.0)
    inside = tuple(unit for unit in units if unit.kind == "group")
    zero_rows = PrunePlan(units=inside, kept={unit.name: kept[unit.name] for unit in inside})
    networks = {"zero_rows": slim(dense, zero_rows), "widen": slim(dense, plan)}
    for name, join in {"concat_gather": ConcatGather, "scatter": Scatter}.items():
        networks[name] = slim(dense, plan)
        for path, module in list(networks[name].named_modules()):
            if isinstance(module, Widen):
                networks[name].set_submodule(path, join(module))
    return networks


def session(network: ReIDNetwork, size: tuple[int, int], int8: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    with tempfile.TemporaryDirectory() as folder:
        path, folded, quantized = (Path(folder) / f"{step}.onnx" for step in ("network", "folded", "int8"))
        program = torch.onnx.export(
            network, (torch.zeros(1, 3, *size),), input_names=["images"], dynamo=True, verbose=False
        )
        program.save(path)
        if not int8:
            return onnxruntime.InferenceSession(path, options, providers=providers)
        # Normalisations must be folded into the convolutions before these are quantized.
        folding = onnxruntime.SessionOptions()
        folding.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        folding.optimized_model_filepath = str(folded)
        onnxruntime.InferenceSession(path, folding, providers=providers)
        quantize_static(folded, quantized, Noise(size), per_channel=True, activation_type=QuantType.QUInt8)
        return onnxruntime.InferenceSession(quantized, options, providers=providers)


def least_disturbed_ms(
    sessions: dict[str, onnxruntime.InferenceSession], size: tuple[int, int]
) -> dict[str, float]:
    """Tenth percentile of alternating runs of one image: what each takes when nothing else runs."""
    images = np.random.default_rng(1).standard_normal((1, 3, *size), np.float32)
    samples: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, open_session in sessions.items():
            start = time.perf_counter()
            open_session.run(None, {open_session.get_inputs()[0].name: images})
            samples[name].append((time.perf_counter() - start) * 1e3)
    return {name: round(float(np.percentile(values, 10)), 3) for name, values in samples.items()}


def main() -> None:
    one_thread()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    figures: dict[str, dict[str, float]] = {}
    for rate in RATES:
        networks = variants(rate)
        for size in SIZES:
            for precision in ("fp32", "int8"):
                sessions = {
                    name: session(network, size, precision == "int8") for name, network in networks.items()
                }
                case = f"{precision} rate {rate} at {size[0]}x{size[1]}"
                figures[case] = least_disturbed_ms(sessions, size)
    write_result(
        "residual-join", {"statistic": "p10 in ms", "threads": 1, "batch": 1, "rounds": ROUNDS, **figures}
    )


if __name__ == "__main__":
    main()
