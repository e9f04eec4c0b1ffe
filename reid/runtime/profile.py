"""How long each operation of a graph takes on ONNX Runtime: a hint for choosing layers, never a latency to record."""

import json
import re
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from reid.runtime.onnxruntime import session_options

__all__ = ["kernel_times_ms"]

_KERNEL = "_kernel_time"
# What the optimiser adds to the name of the node or value that an operation came from.
_ADDED = re.compile(r"(_nchwc|_token_\d+|_QuantizeLinear|_DequantizeLinear)+$")


def kernel_times_ms(
    model: onnx.ModelProto, batch: NDArray[np.float32], threads: int, runs: int = 15
) -> dict[str, float]:
    """Median time of the operations that ONNX Runtime makes of a graph.

    Args:
        model: with named nodes; fp32 or with quantize-dequantize pairs.
        batch: (N, 3, height, width) normalised images.
        threads: of one inference.
        runs: inferences that are looked at, >= 1.

    Returns:
        Milliseconds by the name of a node or value of `model`; a fused operation goes by one of its parts, and
        conversions go by the value that they convert.
    """
    with tempfile.TemporaryDirectory(prefix="reid-pareto-profile-") as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "run")
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for _ in range(runs):
            session.run(None, {"images": batch})
        events = json.loads(Path(session.end_profiling()).read_text())
    samples: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            samples[event["name"].removesuffix(_KERNEL)].append(event["dur"] / 1e3)
    times: dict[str, float] = defaultdict(float)
    for name, values in samples.items():
        times[_ADDED.sub("", name)] += float(np.median(values))
    return dict(times)
