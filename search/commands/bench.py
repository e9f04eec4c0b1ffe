"""`reid-pareto bench`: which of these packages is faster here?"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from reid.config import Target
from reid.errors import UnverifiedError
from reid.files import read_json
from reid.runtime import open_artifact
from reid.timing import DeviceLock, Latency, measure
from results.verify import verify
from search.console import out as console
from search.console import print_json, progress_line

__all__ = ["bench", "measure_packages"]


def bench(
    packages: Annotated[
        list[Path], typer.Argument(help="Folders that pick made; the first is the reference.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print all samples as JSON.")] = False,
) -> None:
    """Time packages on this machine, each in turns with the first, with the device to themselves.

    Hashes are checked first. The target (threads, batch) is that of the first package.

    Example: reid-pareto bench packages/small packages/large
    """
    for package in packages:
        verify(package)
    target = _target(packages[0])
    measured = measure_packages(packages, target)
    if json:
        rows = [{"package": str(p), **t.to_dict()} for p, t in zip(packages, measured, strict=True)]
        print_json({"target": _described(target), "packages": rows})
    else:
        _show(packages, measured, target)


def measure_packages(packages: Sequence[Path], target: Target) -> tuple[Latency, ...]:
    """Latency of each package; those after the first are timed alternately with it.

    Args:
        packages: folders whose hashes were checked, at least one.
        target: runtime, device, threads and batch for all of them.

    Raises:
        NoDevice: this machine lacks the target's device.
        ArtifactError: a network cannot be opened.
    """
    lock = DeviceLock(target.device)
    timers = [open_artifact(package, target).timer() for package in packages]
    measured = []
    for package, timer in zip(packages, timers, strict=True):
        progress_line(f"timing {package}")
        reference: Callable[[], None] | None = None if timer is timers[0] else timers[0]
        measured.append(measure(timer, lock=lock, reference=reference, threads=target.threads))
    return tuple(measured)


def _target(package: Path) -> Target:
    path = package / "metrics.json"
    try:
        return Target.from_dict(read_json(path)["target"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnverifiedError(f"{path}: names no target; get the package anew") from error


def _described(target: Target) -> dict[str, Any]:
    return {name: getattr(target, name) for name in ("runtime", "device", "threads", "batch")}


def _show(packages: Sequence[Path], measured: Sequence[Latency], target: Target) -> None:
    settings = ", ".join(f"{name} {value}" for name, value in _described(target).items())
    table = Table("package", title=Text(f"latency on {settings}"))
    for name in ("median ms", "p10 ms", "p90 ms", "to the first"):
        table.add_column(name, justify="right")
    table.add_column("trusted")
    for package, latency in zip(packages, measured, strict=True):
        figures = [f"{value:.3f}" for value in (latency.latency_ms, latency.p10_ms, latency.p90_ms)]
        ratio = "1" if latency.ratio is None else f"{latency.ratio:.3f}"
        table.add_row(Text(str(package)), *figures, ratio, Text("yes" if latency.trusted else latency.reason))
    console.print(table)
