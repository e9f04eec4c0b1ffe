"""What a network costs besides latency: size, cold start, memory of a process that runs it, images a second."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from reid.config import Target
from reid.errors import ArtifactError, ResourceError
from reid.runtime import model_file, open_artifact

__all__ = ["BATCHES", "Footprint", "measure_footprint"]

BATCHES = (1, 8, 32)
"""Batches whose throughput is measured."""

_BLOCKS, _BLOCK_S = 5, 0.2
_LONGEST_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Costs of one file on one target.

    Attributes:
        size_bytes: of the file that is opened.
        cold_start_ms: from the start of a process to its first embedding, imports included.
        peak_memory_mb: largest resident memory of that process by then, MiB.
        images_per_second: by batch; the median of five blocks, preprocessing left out.
    """

    size_bytes: int
    cold_start_ms: float
    peak_memory_mb: float
    images_per_second: Mapping[int, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def measure_footprint(
    path: Path,
    target: Target,
    *,
    beside: Callable[[], AbstractContextManager[object]],
    alone: Callable[[], AbstractContextManager[object]],
) -> Footprint:
    """Measure a file, with the device held alone.

    Args:
        path: an exported file, or the folder of an artifact or package.
        target: its batch does not matter.
        beside: held while the file is opened, which some runtimes take seconds of computing for:
            `DeviceLock.shared`.
        alone: holds the device: `DeviceLock.exclusive`.

    Raises:
        NoDevice: the target cannot be used here.
        ArtifactError: the file cannot be opened.
        ResourceError: the process that opens it by itself was killed, or hangs.
    """
    file = model_file(path) if path.is_dir() else path
    with beside():
        timers = {batch: open_artifact(file, replace(target, batch=batch)).timer() for batch in BATCHES}
    with alone():
        cold = _cold(file, target)
        rates = {batch: _images_per_second(run, batch) for batch, run in timers.items()}
    return Footprint(size_bytes=file.stat().st_size, images_per_second=rates, **cold)


def _images_per_second(run: Callable[[], None], batch: int) -> float:
    run()
    rates = []
    for _ in range(_BLOCKS):
        begun, count = time.perf_counter(), 0
        while count == 0 or time.perf_counter() - begun < _BLOCK_S:
            run()
            count += 1
        rates.append(batch * count / (time.perf_counter() - begun))
    return median(rates)


def _cold(file: Path, target: Target) -> dict[str, float]:
    begun = time.monotonic()
    call = [sys.executable, "-m", __name__, str(file), json.dumps(asdict(target)), repr(begun)]
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=_LONGEST_S)
    except subprocess.TimeoutExpired as error:
        # The device is held meanwhile, so whatever hangs must not keep it.
        raise ResourceError(f"{file} was not open after {_LONGEST_S:g} s in a process of its own") from error
    if done.returncode < 0:
        killed = signal.Signals(-done.returncode).name
        raise ResourceError(
            f"a process that opened {file} by itself was killed by {killed}; is memory short?"
        )
    if done.returncode:
        raise ArtifactError(f"{file} does not open in a process of its own: {done.stderr.strip()[-300:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _first_embedding(file: str, target: str, begun: str) -> None:
    """The fresh process: open, embed one image, tell."""
    runtime = open_artifact(Path(file), Target.from_dict(json.loads(target)))
    runtime.embed(np.zeros((1, runtime.spec.height, runtime.spec.width, 3), dtype=np.uint8))
    taken_ms = 1000 * (time.monotonic() - float(begun))
    print(json.dumps({"cold_start_ms": taken_ms, "peak_memory_mb": _peak_memory_mb()}))


def _peak_memory_mb() -> float:
    # Of this process alone; what getrusage tells may be the parent's, from before the program was loaded.
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(kib) / 1024


if __name__ == "__main__":
    _first_embedding(*sys.argv[1:])
