"""The benchmarks of aims.py, held against their aims: small runs of those that can, beside the full-size figures.

python -m benchmarks [--only MODULE ...]

Small runs tell whether the programs work and roughly where they stand; what needs real data, a teacher or hours has
none. "full size" is what results/ holds, with the device it was measured on. Nothing in results/ is changed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.aims import BENCHMARKS, Aim, Benchmark
from benchmarks.device import RESULTS, RESULTS_VARIABLE

ROOT = Path(__file__).resolve().parents[1]


def run_small(benchmark: Benchmark, folder: Path, console: Console) -> dict[str, Any]:
    """What a small run wrote; nothing where there is none or it fails."""
    if benchmark.small is None:
        return {}
    started = time.perf_counter()
    call = [sys.executable, "-m", f"benchmarks.{benchmark.module}", *benchmark.small]
    environment = {**os.environ, RESULTS_VARIABLE: str(folder)}
    done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    console.print(f"{benchmark.module}: {time.perf_counter() - started:.0f} s", markup=False)
    if done.returncode != 0:
        console.print(done.stderr[-2000:], markup=False, style="red")
    found = sorted(folder.glob(f"{benchmark.result}-*.json"))
    return json.loads(found[-1].read_text()) if found else {}


def committed(benchmark: Benchmark) -> dict[str, dict[str, Any]]:
    """The full-size results by what their file's name says of the device."""
    return {
        path.stem.removeprefix(f"{benchmark.result}-"): json.loads(path.read_text())
        for path in sorted(RESULTS.glob(f"{benchmark.result}-*.json"))
    }


def verdict(aim: Aim, value: float | None) -> str:
    return "-" if value is None else f"{value:.4g} {'met' if aim.met(value) else 'NOT MET'}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=[benchmark.module for benchmark in BENCHMARKS])
    only = parser.parse_args().only
    console = Console(width=160)
    table = Table("figure", "aim", "small, here", "full size", "device")
    failed = False
    for benchmark in BENCHMARKS:
        if only and benchmark.module not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            small = run_small(benchmark, Path(folder), console)
        failed |= benchmark.small is not None and not small
        for aim in benchmark.aims:
            here = aim.value_in(small) if aim.scales else None
            full = {
                device: value
                for device, found in committed(benchmark).items()
                if (value := aim.value_in(found)) is not None
            }
            table.add_row(
                aim.text,
                aim.bound,
                verdict(aim, here),
                "\n".join(verdict(aim, value) for value in full.values()) or "-",
                "\n".join(full),
            )
    console.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
