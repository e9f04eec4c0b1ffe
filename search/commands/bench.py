"""`reid-pareto bench`: which of these packages is faster here?"""

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from reid.config import Target, reject_unknown
from reid.errors import ConfigError, NoDevice
from reid.runtime import RUNTIMES
from reid.runtime.footprint import BATCHES, measure_footprint
from reid.runtime.pinned import demand_cores
from reid.timing import Comparison, DeviceLock
from reid.timing.machine import cpu_name
from results.record import utc_now
from results.ties import SAME_LATENCY, Interval, paired_ratio
from results.verify import verify
from search.console import out as console
from search.console import print_json, print_table, progress_line
from search.options import change_target
from search.packages import compare_files, network_sha256, package_target, unpacked

__all__ = ["bench"]


def bench(
    packages: Annotated[
        list[Path], typer.Argument(help="Folders or zip files that pick made; the first is the reference.")
    ],
    footprint: Annotated[
        bool, typer.Option("--footprint", help="Also size, cold start, memory and images per second.")
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Threads; when left out, one per core of --affinity, else those of the first package.",
        ),
    ] = None,
    affinity: Annotated[
        str | None, typer.Option(help="Cores to run on, e.g. 4,5; those of the first package when left out.")
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(help=f"Runtime for all: {', '.join(RUNTIMES)}; when left out, what each is made for."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda:N; that of the first package when left out.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all samples as JSON.")] = False,
) -> None:
    """Time packages on this machine in turns, with the device to themselves, and compare each with the first.

    Hashes are checked first. Each package runs on the runtime that it is made for; the batch is that of the first
    package. The ratio is the median over rounds of latency by latency of the first, its 95 % interval that of a
    bootstrap over the rounds; where that comes within 2 % of one the two are a tie, as in a pick. What --json prints,
    `reid-pareto add-timings` merges into the study that the packages were picked from.

    With --footprint each package is also opened in a process of its own: time from the start of the process to its
    first embedding and the memory that this took; and images per second at batches of 1, 8 and 32.

    Example: reid-pareto bench packages/small packages/large --footprint
    """
    with ExitStack() as stack:
        folders = [stack.enter_context(unpacked(package)) for package in packages]
        for folder in folders:
            verify(folder)
        made_for = [package_target(folder) for folder in folders]
        target = _chosen(made_for[0], threads, affinity, device)
        runtimes = [runtime or own.runtime for own in made_for]
        reject_unknown(runtimes, RUNTIMES, "--runtime")
        targets = [replace(target, runtime=name) for name in runtimes]
        progress_line(f"timing {len(packages)} packages in turns")
        found = compare_files(folders, targets)
        lock = DeviceLock(target.device)
        hashes = [network_sha256(folder) for folder in folders]
        costs = [
            measure_footprint(folder, on, beside=lock.shared, alone=lock.exclusive)
            for folder, on in zip(folders, targets, strict=True)
            if footprint
        ]
    named = enumerate(zip(packages, runtimes, hashes, strict=True))
    rows = [_row(*one, found, index) for index, one in named]
    for row, cost in zip(rows, costs, strict=False):
        row["footprint"] = cost.to_dict()
    if json:
        print_json({"target": _settings(target), **_machine(), **_facts(found), "packages": rows})
    else:
        _show(rows, found, target)
        if footprint:
            _show_footprints(rows)


def _chosen(target: Target, threads: int | None, affinity: str | None, device: str | None) -> Target:
    if device is not None:
        target = change_target(target, device=device)
    if affinity is not None:
        parts = affinity.split(",")
        if not all(part.strip().isdecimal() for part in parts):
            raise ConfigError(f"--affinity takes core numbers such as 4,5, got {affinity!r}")
        cores = tuple(map(int, parts))
        try:
            demand_cores(cores)
        except NoDevice as error:
            raise NoDevice(str(error).replace("target.", "--")) from error
        return change_target(target, affinity=cores, threads=threads or len(parts))
    return target if threads is None else change_target(target, threads=threads)


def _row(package: Path, runtime: str, model_sha256: str, found: Comparison, index: int) -> dict[str, Any]:
    samples = found.samples_ms[index]
    ratio = None if index == 0 else paired_ratio(found.rounds_ms[0], found.rounds_ms[index])
    return {
        "package": str(package),
        "runtime": runtime,
        "model_sha256": model_sha256,
        "latency_ms": float(found.medians_ms[index]),
        "ratio": None if ratio is None else ratio.to_dict(),
        "tied": None if ratio is None else ratio.includes(1, within=SAME_LATENCY),
        "samples_ms": samples.tolist(),
    }


def _settings(target: Target) -> dict[str, Any]:
    chosen = {} if target.affinity is None else {"affinity": list(target.affinity)}
    return {name: getattr(target, name) for name in ("device", "threads", "batch")} | chosen


def _machine() -> dict[str, Any]:
    return {"host": socket.gethostname(), "cpu": cpu_name(), "timed_at": utc_now()}


def _facts(found: Comparison) -> dict[str, Any]:
    return {"trusted": found.trusted, "reason": found.reason, "kernel_drift": found.kernel_drift}


def _show(rows: Sequence[dict[str, Any]], found: Comparison, target: Target) -> None:
    settings = ", ".join(f"{name} {value}" for name, value in _settings(target).items())
    table = Table("package", "runtime", title=Text(f"latency on {settings}"))
    for name in ("median ms", "to the first", "95 % interval"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            Text(row["package"]),
            row["runtime"],
            f"{row['latency_ms']:.3f}",
            *_ratio_cells(row["ratio"], row["tied"]),
        )
    print_table(table)
    rounds = found.samples_ms.shape[1]
    trust = "trusted" if found.trusted else f"not trusted: {found.reason}"
    console.print(f"{rounds} rounds, a block of {found.samples_ms.shape[2]} each; {trust}", markup=False)


def _show_footprints(rows: Sequence[dict[str, Any]]) -> None:
    table = Table("package", title=Text("footprint"))
    for name in ("MB", "cold start ms", "peak MiB", *(f"images/s at {batch}" for batch in BATCHES)):
        table.add_column(name, justify="right")
    for row in rows:
        cost = row["footprint"]
        rates = (f"{rate:.0f}" for rate in cost["images_per_second"].values())
        table.add_row(
            Text(row["package"]), f"{cost['size_bytes'] / 1e6:.2f}", f"{cost['cold_start_ms']:.0f}",
            f"{cost['peak_memory_mb']:.0f}", *rates,
        )  # fmt: skip
    print_table(table)


def _ratio_cells(ratio: dict[str, float] | None, tied: bool | None) -> tuple[str, str]:
    if ratio is None:
        return "1", ""
    interval = Interval(**ratio)
    verdict = f", a tie within {100 * SAME_LATENCY:g} %" if tied else ""
    return f"{interval.value:.3f}", f"{interval.low:.3f} to {interval.high:.3f}{verdict}"
