"""Where a benchmark ran, and where its figures go."""

import os
import re
import sys
from pathlib import Path
from typing import Any

from reid.files import read_json, write_json
from reid.timing.machine import cpu_name, int8_saturates

__all__ = ["RESULTS", "RESULTS_VARIABLE", "device_slug", "earlier_result", "one_thread", "write_result"]

RESULTS_VARIABLE = "REID_PARETO_RESULTS"
"""Environment variable that names another folder for results, e.g. for runs at a small size."""

RESULTS = Path(os.environ.get(RESULTS_VARIABLE, Path(__file__).resolve().parent / "results"))


def device_slug() -> str:
    """Short name of the CPU for file names, e.g. "intel-xeon-gold-6338".

    Processors of one name differ in what counts most here, so one that saturates in int8 says so.
    """
    bare = re.sub(r"\((r|tm|c)\)|\b(cpu|processor)\b|@.*", " ", cpu_name().lower())
    return re.sub(r"[^a-z0-9]+", "-", bare).strip("-") + ("-avx2" if int8_saturates() else "")


def one_thread() -> None:
    """Start the running program again with one thread per library, unless it runs so already."""
    limits = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if any(os.environ.get(name) != value for name, value in limits.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **limits})


def _path(name: str) -> Path:
    return RESULTS / f"{name}-{device_slug()}.json"


def earlier_result(name: str) -> dict[str, Any]:
    """Figures that results/<name>-<device>.json holds already, so that a run of some of them keeps the others."""
    path = _path(name)
    return dict(read_json(path)) if path.is_file() else {}


def write_result(name: str, figures: dict[str, Any]) -> Path:
    """Write `figures` with the device's name to results/<name>-<device>.json, and print them.

    The load average is written too: above 1 something else ran, and times are too long.
    """
    path = _path(name)
    where = {"device": cpu_name(), "cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1)}
    write_json(path, {**figures, **where})
    print(path.read_text(), end="")
    return path
