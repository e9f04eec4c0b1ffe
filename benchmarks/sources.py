"""What the sources claim of size, work and speed, and what the same networks are here; weights are untrained.

    python -m benchmarks.sources

LPCV 2021: ResNet-18 halved three times (widths 8-16-32-64), at 128x64, int8 for qnnpack. Atimotors: DenseNet-121 in
int8 at 256x128. BAFD: ResNet-18 at rate 0.9, no layer above 0.95. `docs/sources.md` gives the claims beside these
figures; accuracy needs training and is not looked at. Files of one network are timed in turns, one thread, batch 1; run
it on an idle machine. Writes results/sources-<device>.json.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.device import one_thread, write_result
from benchmarks.quantization import against_eager
from reid.config import Target, TrialConfig
from reid.export import Artifact, export_onnx
from reid.models import ReIDNetwork, build, count
from reid.prune import planned, slim
from reid.quantize import QuantizationSettings, quantize
from reid.runtime import SCRIPT_FILES, open_artifact
from reid.runtime.convert import convert
from reid.steps.deploy import input_spec
from reid.steps.qat import FLOAT_NORMS
from reid.timing import DeviceLock, compare

Figures = dict[str, Any]
FULL, HALF = (256, 128), (128, 64)
ENGINES = ("onnxruntime", "torchscript", "torchscript-qnnpack")


def main() -> None:
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        figures = {
            "lpcv": lpcv(Path(folder)),
            "densenet121": densenet(Path(folder)),
            "bafd": bafd(),
        }
    write_result("sources", {"threads": 1, "batch": 1, **figures})


def pruned(dense: ReIDNetwork, config: TrialConfig, round_to: int) -> ReIDNetwork:
    return slim(dense, planned(dense, config, round_to=round_to)).eval()


def exported(model: ReIDNetwork, size: tuple[int, int], path: Path) -> Artifact:
    config = TrialConfig(input_size=size)
    return export_onnx(model, input_spec(config, model), path)


def in_int8(source: Artifact, size: tuple[int, int], path: Path, engine: str = "onnxruntime") -> Artifact:
    images = np.random.default_rng(0).integers(0, 256, (32, *size, 3), dtype=np.uint8)
    settings = QuantizationSettings(integer_norms=engine not in FLOAT_NORMS)
    return quantize(source, "int8-static", images, path, settings)


def script_size(file: Artifact, engine: str) -> int:
    """Bytes of the TorchScript file for an engine."""
    return len(convert(file.path, engine)[SCRIPT_FILES[engine]])


def in_turns(files: dict[str, tuple[Path, str]]) -> Figures:
    """Milliseconds of each (file, runtime), and how many times faster than the first."""
    timers = [open_artifact(path, Target(runtime=runtime)).timer() for path, runtime in files.values()]
    timing = compare(timers, lock=DeviceLock("cpu"))
    rows = {
        name: {
            "ms": round(float(np.median(rounds)), 4),
            "speedup": round(float(np.median(timing.rounds_ms[0] / rounds)), 2),
        }
        for name, rounds in zip(files, timing.rounds_ms, strict=True)
    }
    return {"trusted": timing.trusted, **rows}


def lpcv(folder: Path) -> Figures:
    """An eighth of ResNet-18's channels everywhere, in their own format and in ours."""
    torch.manual_seed(0)
    dense = build("resnet18", 1).eval()
    eighth = pruned(dense, TrialConfig(method="l2", prune_rate=0.875, scope="grouped"), 1)
    whole = exported(dense, FULL, folder / "dense.onnx")
    files = {"dense fp32 256x128 onnxruntime": (whole.path, "onnxruntime")}
    sizes = {"dense fp32 onnx": whole.size_bytes}
    for size in (HALF, FULL):
        text = f"{size[0]}x{size[1]}"
        small = exported(eighth, size, folder / f"eighth-{text}.onnx")
        integer = in_int8(small, size, folder / f"eighth-{text}-int8.onnx")
        sizes |= {"eighth fp32 onnx": small.size_bytes, "eighth int8 onnx": integer.size_bytes}
        sizes["eighth int8 qnnpack"] = script_size(integer, "torchscript-qnnpack")
        files[f"eighth fp32 {text} onnxruntime"] = (small.path, "onnxruntime")
        files |= {f"eighth int8 {text} {engine}": (integer.path, engine) for engine in ENGINES}
    found = {text: count(eighth, size) for text, size in (("128x64", HALF), ("256x128", FULL))}
    return {
        "params": found["256x128"].params,
        "macs": {text: one.macs for text, one in found.items()},
        "size_bytes": sizes,
        "timing": in_turns(files),
    }


def densenet(folder: Path) -> Figures:
    torch.manual_seed(0)
    source = exported(build("densenet121", 1).eval(), FULL, folder / "densenet.onnx")
    integer = {engine: in_int8(source, FULL, folder / f"int8-{engine}.onnx", engine) for engine in ENGINES}
    files = {
        "fp32 torchscript": (source.path, "torchscript"),
        "fp32 onnxruntime": (source.path, "onnxruntime"),
    }
    files |= {f"int8 {engine}": (artifact.path, engine) for engine, artifact in integer.items()}
    size_bytes = integer["onnxruntime"].size_bytes
    return {
        "size_bytes": {"fp32": source.size_bytes, "int8": size_bytes},
        "times_smaller": round(source.size_bytes / size_bytes, 2),
        "timing": in_turns(files),
        "beside_eager": against_eager("densenet121"),
    }


def bafd() -> Figures:
    """What stays of ResNet-18 at 0.9, allocated as published, both scopes."""
    torch.manual_seed(0)
    dense = build("resnet18", 1).eval()
    before = count(dense, FULL)
    found: Figures = {"params": before.params, "macs": before.macs}
    for scope in ("inner", "grouped"):
        config = TrialConfig(method="bafd", prune_rate=0.9, max_layer_rate=0.95, scope=scope)  # type: ignore[arg-type]
        after = count(pruned(dense, config, 1), FULL)
        found[scope] = {
            "params_removed": round(1 - after.params / before.params, 4),
            "macs_removed": round(1 - after.macs / before.macs, 4),
        }
    return found


if __name__ == "__main__":
    main()
