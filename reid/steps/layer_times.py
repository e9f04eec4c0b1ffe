"""What single layers take on the target: measured on a grid of widths, once a machine, and read off in between."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from reid.config import Target
from reid.files import read_json
from reid.prune.layers import LayerShape
from reid.runtime import version_of
from reid.runtime.graph import graph_timer
from reid.timing import DeviceLock
from reid.timing.machine import cores, cpu_name
from reid.timing.sampling import undisturbed
from reid.timing.table import keep_file, table_folder

__all__ = ["LayerTimes", "conv_graph"]

_POINTS = 4
_NARROWEST = 16
_COPIES = (1, 3)
_LEAST_S = 0.012
_LEAST_RUNS = 5
_OPSET = 17
_VERSION = 1


class LayerTimes:
    """Milliseconds of a convolution by its channels; a `reid.prune.layers.LayerCost`.

    A layer on its own pays for bringing its input into the layout that the kernels like and its output back, which
    within a network it does not. So a graph with one copy of it is timed, and one with three side by side whose
    outputs are added: half the difference is the layer's.

    Args:
        target: where networks will run.
        lock: of the device; held exclusively while one shape is measured.
        folder: where tables are kept; None takes that of all latencies of this user.
    """

    def __init__(self, target: Target, lock: DeviceLock, folder: Path | None = None) -> None:
        self._target, self._lock, self._folder = target, lock, folder or table_folder()
        self._tables: dict[LayerShape, _Table] = {}

    def measure(self, shapes: Mapping[LayerShape, tuple[set[int], set[int]]]) -> None:
        """Measure what is not known yet.

        Args:
            shapes: with the full widths that layers of each have, in and out.

        Raises:
            ConfigError: the target's runtime cannot time layers.
        """
        for shape, (ins, outs) in sorted(shapes.items()):
            # A depthwise layer has as many channels out as in: its table is one column.
            axes = (_axis(ins), _axis(outs) if shape.groups else [1])
            path = self._path(shape, axes)
            values = _known(path, axes)
            if values is None:
                with self._lock.exclusive(), undisturbed(self._target.threads, self._target.affinity):
                    values = self._measured(shape, axes)
                keep_file(path, {"shape": dataclasses.asdict(shape), "ms": values.tolist()})
            self._tables[shape] = _Table(axes, values)

    def __call__(self, shape: LayerShape, channels_in: int, channels_out: int) -> float:
        """Milliseconds, between the points of the grid by straight lines, beyond them in proportion."""
        return self._tables[shape].read(channels_in, channels_out)

    def _measured(self, shape: LayerShape, axes: tuple[Sequence[int], Sequence[int]]) -> NDArray[np.float64]:
        rows = [
            [self._layer_ms(shape, ins, outs if shape.groups else ins) for outs in axes[1]] for ins in axes[0]
        ]
        return np.array(rows)

    def _layer_ms(self, shape: LayerShape, channels_in: int, channels_out: int) -> float:
        given = (self._target.batch, channels_in, *shape.size)
        one, more = (
            _fastest_ms(
                graph_timer(conv_graph(shape, channels_in, channels_out, copies), given, self._target)
            )
            for copies in _COPIES
        )
        # Where the layer is too small for the difference to show, it still takes something.
        return max((more - one) / (_COPIES[1] - _COPIES[0]), 0.02 * one)

    def _path(self, shape: LayerShape, axes: tuple[Sequence[int], Sequence[int]]) -> Path:
        target = dataclasses.asdict(self._target)
        machine = [cpu_name(), cores(), version_of(self._target.runtime)]
        text = json.dumps([_VERSION, *machine, target, dataclasses.asdict(shape), axes], sort_keys=True)
        return self._folder / f"layer-{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


class _Table:
    def __init__(self, axes: tuple[Sequence[int], Sequence[int]], values: NDArray[np.float64]) -> None:
        self._axes, self._values = axes, values

    def read(self, channels_in: int, channels_out: int) -> float:
        rows = np.array([_between(self._axes[1], row, channels_out) for row in self._values])
        return _between(self._axes[0], rows, channels_in)


def conv_graph(shape: LayerShape, channels_in: int, channels_out: int, copies: int) -> bytes:
    """ONNX file of `copies` convolutions of one input, added up; input "x", output "y"."""
    random = np.random.default_rng(0)
    groups = 1 if shape.groups else channels_out
    weights, nodes = [], []
    for copy in range(copies):
        size = (channels_out, channels_in // groups, *shape.kernel)
        values = random.standard_normal(size).astype(np.float32) / 100
        weights.append(numpy_helper.from_array(values, f"w{copy}"))
        nodes.append(
            helper.make_node(
                "Conv", ["x", f"w{copy}"], [f"c{copy}"], group=groups, strides=shape.stride,
                pads=[*shape.padding, *shape.padding], dilations=shape.dilation,
            )
        )  # fmt: skip
        if copy:
            nodes.append(
                helper.make_node("Add", [f"s{copy - 1}" if copy > 1 else "c0", f"c{copy}"], [f"s{copy}"])
            )
    nodes[-1].output[0] = "y"
    sizes = (("x", channels_in, shape.size), ("y", channels_out, shape.output))
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c, *size]) for n, c, size in sizes]
    graph = helper.make_graph(nodes, "layer", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _fastest_ms(run: Callable[[], object]) -> float:
    """The least of several runs: on a machine of its own whatever is slower was disturbed."""
    run()
    return min(_runs(run)) * 1e3


def _runs(run: Callable[[], object]) -> Iterator[float]:
    began, runs = time.perf_counter(), 0
    while runs < _LEAST_RUNS or time.perf_counter() - began < _LEAST_S:
        start = time.perf_counter()
        run()
        yield time.perf_counter() - start
        runs += 1


def _axis(widths: set[int]) -> list[int]:
    """Widths to measure at, rising in about equal proportions: kernels work in blocks of sixteen channels."""
    most = max(widths)
    if most <= _NARROWEST:
        return sorted(widths)
    rising = np.geomspace(_NARROWEST, most, _POINTS)
    return sorted({*(round(value / _NARROWEST) * _NARROWEST for value in rising[:-1]), most})


def _between(axis: Sequence[int], values: NDArray[np.float64], width: int) -> float:
    if width > axis[0]:
        return float(np.interp(width, axis, values))
    return float(values[0]) * width / axis[0]


def _known(path: Path, axes: tuple[Sequence[int], Sequence[int]]) -> NDArray[np.float64] | None:
    try:
        found: dict[str, Any] = read_json(path)
        values = np.array(found["ms"], dtype=np.float64)
        return values if values.shape == (len(axes[0]), len(axes[1])) and (values > 0).all() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # A damaged entry is measured again.
