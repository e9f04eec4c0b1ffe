"""Networks of ours on Market-1501 beside what people would use instead: accuracy, speed, area under the front.

    python -m benchmarks.market_bar NAME=FOLDER [NAME=FOLDER ...] --data DATA [--picture FILE.png]

FOLDER is a package, or a run of `reid-pareto train` or `trial`: it holds model.onnx. Accuracy is that on the test
split, once, of networks chosen before. Latency is taken in turns with dense fp32 ResNet-18 at 256x128, onnxruntime, one
thread, batch 1; what carries over to another machine is the ratio, so the milliseconds of a front are RESNET18_MS over
it, the machine on which the others were timed. Writes results/market-bar-<device>.json.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from benchmarks.device import one_thread, write_result
from reid.config import Target
from reid.data import MEAN, STD, ReIDDataset, dataset_name, load_dataset
from reid.export import InputSpec, export_onnx
from reid.models import build
from reid.runtime import open_artifact
from reid.steps.score import metrics_of, score_file
from reid.timing import DeviceLock, compare
from results.front import pareto_front
from results.hypervolume import hypervolume

RESNET18_MS = 22.9
"""Dense fp32 ResNet-18 at 256x128 where the table was measured: two cores with AVX-512 VNNI."""

REFERENCE = (0.0, 23.0)
"""mAP and milliseconds from which areas count."""

_TICKS_MS = (0.3, 0.5, 1, 2, 5, 10)

_OURS: dict[str, Any] = {"xytext": (0, 6), "rotation": 90, "ha": "center", "va": "bottom"}
"""Where a name stands beside its point: ours upright, as their points are close to each other."""

_OTHERS: dict[str, Any] = {"xytext": (5, -10)}
_SLOWEST: dict[str, Any] = {"xytext": (-6, 4), "ha": "right"}
"""To the left, within the frame."""

BARS = {5: 0.82, 10: 0.80, 23: 0.75, 40: 0.60}
"""How many times faster than dense fp32 ResNet-18 -> mAP to be reached."""


@dataclass(frozen=True, slots=True)
class Point:
    """A network: accuracy on the whole protocol (rectangular AP) and milliseconds beside `RESNET18_MS`."""

    name: str
    rank1: float
    mean_ap: float
    latency_ms: float


TABLE = (
    Point("LPCV 2021 int8 128x64", 0.609, 0.367, 0.98),
    Point("LPCV 2021 int8 256x128", 0.709, 0.455, 2.39),
    Point("OSNet x0.25 fp32", 0.915, 0.774, 2.17),
    Point("Open Model Zoo 0288", 0.861, 0.598, 2.40),
    Point("Open Model Zoo 0287", 0.931, 0.766, 4.56),
    Point("Open Model Zoo 0286", 0.948, 0.837, 7.84),
    Point("Open Model Zoo 0277", 0.962, 0.877, 12.0),
)
"""What a user would pick today, each in its own best runtime, one thread, batch 1."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    one_thread()
    files = {name: folder / "model.onnx" for name, folder in map(named_folder, options.networks)}
    dataset = load_dataset(dataset_name(options.data), options.data)
    timed = time_beside_resnet18(files)
    ours = [_point(name, file, dataset, timed[name]["times_resnet18"]) for name, file in files.items()]
    write_result(
        "market-bar",
        {
            "trusted": timed["trusted"],
            "networks": [
                {"name": one.name, "rank1": one.rank1, "mAP": one.mean_ap, **timed[one.name]} for one in ours
            ],
            **figures_of_bars(ours),
        },
    )
    if options.picture:
        draw(ours, options.picture)


def named_folder(text: str) -> tuple[str, Path]:
    """NAME=FOLDER of the command line."""
    name, _, folder = text.partition("=")
    return name, Path(folder)


def time_beside_resnet18(files: dict[str, Path]) -> dict[str, Any]:
    """Milliseconds of each file and how many times faster it is than dense fp32 ResNet-18, in one run."""
    with tempfile.TemporaryDirectory() as folder:
        yardstick = Path(folder) / "resnet18.onnx"
        spec = InputSpec(height=256, width=128, mean=MEAN, std=STD, embedding_dim=512)
        export_onnx(build("resnet18", 1).eval(), spec, yardstick)
        timers = [open_artifact(path, Target()).timer() for path in (yardstick, *files.values())]
        timing = compare(timers, lock=DeviceLock("cpu"))
    found: dict[str, Any] = {"trusted": timing.trusted}
    for name, rounds in zip(files, timing.rounds_ms[1:], strict=True):
        ratio = float(np.median(timing.rounds_ms[0] / rounds))
        found[name] = {
            "latency_ms": round(float(np.median(rounds)), 4),
            "times_resnet18": round(ratio, 2),
        }
    return found


def _point(name: str, file: Path, dataset: ReIDDataset, times_resnet18: float) -> Point:
    test = metrics_of(score_file(file, Target(), dataset.root, dataset.query, dataset.gallery))
    return Point(name, round(test["rank1"], 4), round(test["mAP"], 4), RESNET18_MS / times_resnet18)


def figures_of_bars(ours: list[Point]) -> dict[str, Any]:
    """What is reached at each bar, and the areas under both fronts."""
    return {
        "bars": {str(times): bar(ours, times) for times in BARS},
        "hypervolume": {"ours": area(ours), "table": area(TABLE)},
    }


def bar(points: list[Point], times_resnet18: float) -> float:
    """Best mAP among those at least so much faster than ResNet-18; 0 where none is."""
    return max((one.mean_ap for one in points if RESNET18_MS / one.latency_ms >= times_resnet18), default=0.0)


def area(points: list[Point] | tuple[Point, ...]) -> float:
    """Hypervolume with latency on a natural logarithmic axis."""
    values = [(one.mean_ap, math.log(one.latency_ms)) for one in points]
    return hypervolume(values, ["maximize", "minimize"], [REFERENCE[0], math.log(REFERENCE[1])])


def draw(ours: list[Point], path: Path) -> None:
    """Both fronts as steps over a logarithmic latency."""
    figure = Figure(figsize=(8, 5.7), layout="constrained")
    axes = figure.add_subplot()
    slowest = max(TABLE, key=lambda one: one.latency_ms)
    for points, label, colour in ((TABLE, "what people use", "#7a8699"), (ours, "reid-pareto", "#0b5cbf")):
        places = np.array([(one.latency_ms, 100 * one.mean_ap) for one in points])
        front = pareto_front(places, ["minimize", "maximize"])
        best = places[front][places[front][:, 0].argsort()]
        axes.plot(*places.T, "o", color=colour, label=label)
        axes.step(*best.T, where="post", color=colour, linewidth=1.2)
        for one, place in _named(points, places, front):
            style = _OURS if points is ours else _SLOWEST if one is slowest else _OTHERS
            axes.annotate(one.name, place, textcoords="offset points", fontsize=7, color=colour, **style)
    axes.set_xscale("log")
    axes.set_xticks(_TICKS_MS, [f"{tick:g}" for tick in _TICKS_MS])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.2, y=0.25)
    axes.set_xlabel(f"latency (ms, where dense fp32 ResNet-18 takes {RESNET18_MS})")
    axes.set_ylabel("mAP on the test split of Market-1501 (%)")
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)


def _named(
    points: Sequence[Point], places: NDArray[np.float64], front: NDArray[np.bool_]
) -> Iterator[tuple[Point, NDArray[np.float64]]]:
    """All of the table, and of ours the front, without what lies on a named point."""
    named: list[NDArray[np.float64]] = []
    for one, place, leads in zip(points, places, front, strict=True):
        near = any(np.allclose(place, other, rtol=0.02) for other in named)
        if points is TABLE or (leads and not near):
            named.append(place)
            yield one, place


if __name__ == "__main__":
    main()
