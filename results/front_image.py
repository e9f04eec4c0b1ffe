"""The front as a PNG or SVG, for a paper and for pages that cannot run the report."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from reid.errors import ConfigError
from reid.files import write_with
from results.record import Record, one_line
from results.report_data import Snapshot, axes_of, kinds_of, limit_lines, metric_of
from results.study import Study
from results.wish import better_higher, is_accuracy

__all__ = ["IMAGE_FORMATS", "write_front_image", "write_front_png"]

IMAGE_FORMATS = ("png", "svg")

_LOOKS: dict[str, dict[str, Any]] = {
    "stopped": {"marker": "v", "color": "#7a6aa8", "markersize": 5, "alpha": 0.6, "label": "stopped early"},
    "infeasible": {"marker": "x", "color": "#b4232f", "markersize": 5, "alpha": 0.6, "label": "infeasible"},
    "dominated": {"marker": "o", "color": "#a9b4c4", "markersize": 5, "label": "dominated"},
    "untrusted": {
        "marker": "o",
        "color": "#8a5a0b",
        "markerfacecolor": "none",
        "label": "latency not trusted",
    },
    "front": {"marker": "o", "color": "#0b5cbf", "markersize": 7, "label": "front"},
}
# Texts stay texts, so that they can be searched and set in the paper's own type; no date and a fixed salt, so
# that equal studies give equal files.
_SVG: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "reid-pareto"}


def write_front_png(study: Study, path: Path) -> Path:
    """Draw the front into a PNG file; as `write_front_image`, whatever the file is called."""
    return _write(study, path, "png")


def write_front_image(study: Study, path: Path) -> Path:
    """Draw accuracy over cost (logarithmic) with the front, the baseline and the limits.

    Args:
        study: read side of the study.
        path: file to write, ending in .png or .svg; it is replaced.

    Raises:
        ConfigError: another ending, or a study with fewer than two objectives.
        ResourceError: the file cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in IMAGE_FORMATS:
        raise ConfigError(f"{path} must end in .{' or .'.join(IMAGE_FORMATS)}")
    return _write(study, path, kind)


def _write(study: Study, path: Path, kind: str) -> Path:
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    _draw(axes, Snapshot.of(study))
    about: dict[str, Any] = {"Date": None} if kind == "svg" else {}
    with rc_context(_SVG):
        return write_with(path, lambda file: figure.savefig(file, format=kind, dpi=150, metadata=about))


def _draw(axes: Any, study: Snapshot) -> None:
    records, baseline, names = study.trials, study.baseline, axes_of(study.objectives)
    kinds = kinds_of(records, study.objectives)
    for kind, look in _LOOKS.items():
        points = [r for r in records if kinds[r.number] == kind and {names.x, names.y} <= r.metrics.keys()]
        if points:
            places = sorted(_point(record, names.x, names.y) for record in points)
            axes.plot(*zip(*places, strict=True), linestyle="none", **look)
            if kind == "front":
                _connect(axes, places, points, names.x, names.y)
    if baseline and {names.x, names.y} <= baseline.metrics.keys():
        x, y = _point(baseline, names.x, names.y)
        axes.plot(x, y, "D", color="#6b3fa0", markersize=8, label="dense baseline", linestyle="none")
    _draw_limits(axes, study, names.x, names.y)
    # Names of studies and limits may hold dollar signs, which would otherwise be read as formulas.
    axes.set_title(one_line(str(study.definition["name"]), 80), parse_math=False)
    axes.set_xlabel(_label(names.x), parse_math=False)
    axes.set_ylabel(_label(names.y), parse_math=False)
    axes.grid(color="#e9ecf1", which="both")
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[0]:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(ScalarFormatter())
        axes.legend(frameon=False)


def _connect(axes: Any, places: list[tuple[float, float]], points: list[Record], x: str, y: str) -> None:
    xs, ys = zip(*places, strict=True)
    # Up to the next point a budget on x buys what the last one within it gives; a demand on x, what the next gives.
    where = "pre" if better_higher(x) else "post"
    axes.step(xs, ys, where=where, color="#0b5cbf", linewidth=1.2)
    if x == "latency_ms":
        ends = [[r.metrics.get(f"latency_{p}_ms", r.metrics[x]) for r in points] for p in ("p10", "p90")]
        axes.hlines([_point(r, x, y)[1] for r in points], *ends, color="#0b5cbf", linewidth=2.5, alpha=0.4)


def _draw_limits(axes: Any, study: Snapshot, x: str, y: str) -> None:
    for text, value in limit_lines(study.definition["limits"], study.baseline).items():
        metric = metric_of(text)
        if value is None or metric not in (x, y):
            continue
        draw = axes.axvline if metric == x else axes.axhline
        draw(_scaled(metric, value), color="#b4232f", linestyle="--", linewidth=1)


def _point(record: Record, x: str, y: str) -> tuple[float, float]:
    return _scaled(x, record.metrics[x]), _scaled(y, record.metrics[y])


def _scaled(metric: str, value: float) -> float:
    return 100 * value if is_accuracy(metric) else value


def _label(metric: str) -> str:
    if is_accuracy(metric):
        return f"{metric} (%), validation"
    return "latency (ms)" if metric == "latency_ms" else metric
