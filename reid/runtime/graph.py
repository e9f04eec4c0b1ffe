"""Any ONNX graph on a target, to be timed and no more: layers on their own, which are no artifacts."""

from collections.abc import Callable

import numpy as np
import onnxruntime

from reid.config import Target, reject_unknown
from reid.errors import ConfigError
from reid.runtime.onnxruntime import session_options
from reid.runtime.openvino import compile_graph

__all__ = ["GRAPH_TIMERS", "demand_graph_timer", "graph_timer"]


def demand_graph_timer(target: Target) -> None:
    """Refuse a target on which single layers cannot be timed.

    Raises:
        ConfigError: its runtime cannot; lists those that can; or it is a GPU.
    """
    reject_unknown([target.runtime], GRAPH_TIMERS, "runtime of allocate latency")
    if target.device != "cpu":
        raise ConfigError(
            f"allocate latency times layers on the CPU only, and target.device is {target.device}; give macs_budget, "
            "which needs no timing"
        )


def graph_timer(content: bytes, shape: tuple[int, ...], target: Target) -> Callable[[], object]:
    """A call that runs a graph once.

    Args:
        content: ONNX file with one float32 input, "x".
        shape: of that input.
        target: runtime and threads.

    Raises:
        ConfigError: as in `demand_graph_timer`.
    """
    demand_graph_timer(target)
    return GRAPH_TIMERS[target.runtime](content, shape, target)


def _onnxruntime(content: bytes, shape: tuple[int, ...], target: Target) -> Callable[[], object]:
    session = onnxruntime.InferenceSession(
        content, session_options(target.threads), providers=["CPUExecutionProvider"]
    )
    values = np.random.default_rng(0).random(shape, dtype=np.float32)
    return lambda: session.run(None, {"x": values})


def _openvino(content: bytes, shape: tuple[int, ...], target: Target) -> Callable[[], object]:
    request = compile_graph(content, target.threads).create_infer_request()
    values = np.random.default_rng(0).random(shape, dtype=np.float32)
    return lambda: request.infer({0: values}, share_inputs=True)


GRAPH_TIMERS: dict[str, Callable[[bytes, tuple[int, ...], Target], Callable[[], object]]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
"""By the name that `Target.runtime` uses."""
