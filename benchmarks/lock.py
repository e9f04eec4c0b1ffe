"""One network timed on an idle machine, beside one and two trainers with the device lock, and without it.

python -m benchmarks.lock [--small]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.device import one_thread, write_result
from reid.config import Target
from reid.data import MEAN, STD
from reid.export import InputSpec, export_onnx
from reid.models import build
from reid.runtime import open_artifact
from reid.timing import DeviceLock, Latency, calibration_kernel_ms, measure

BACKBONE, INPUT_SIZE = "resnet18", (256, 128)
TRAINERS, BATCH, TRAINING_SIZE = (1, 2), 8, (128, 64)
# Idle, with the lock, without it; there hardly a timing is trusted, so most take their three attempts.
TIMINGS, FEW_TIMINGS = (20, 6, 4), (6, 2, 1)


def train_for_ever(folder: Path) -> None:
    """Real training steps, each under the lock; one line a step says how long it took and waited."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    lock = DeviceLock("cpu", folder=folder)
    network = build(BACKBONE, 10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    images, labels = torch.randn(BATCH, 3, *TRAINING_SIZE), torch.arange(BATCH)
    while True:
        asked = time.perf_counter()
        with lock.shared():
            entered = time.perf_counter()
            optimizer.zero_grad()
            logits = network(images).logits
            torch.nn.functional.cross_entropy(logits, labels).backward()
            optimizer.step()
        print(time.perf_counter() - entered, entered - asked, flush=True)


@contextmanager
def trainers(count: int, folder: Path) -> Iterator[list[list[float]]]:
    """So many training processes; the list holds their steps once the block is left."""
    outputs = [folder / f"steps{number}" for number in range(count)]
    running = []
    for output in outputs:
        with output.open("w") as file:
            command = [sys.executable, "-m", "benchmarks.lock", "--train-in", str(folder)]
            running.append(subprocess.Popen(command, stdout=file))
    steps: list[list[float]] = []
    try:
        while any(len(output.read_text().splitlines()) < 3 for output in outputs):
            if any(process.poll() is not None for process in running):
                raise SystemExit("a trainer ended; see its message above")
            time.sleep(0.1)
        yield steps
    finally:
        for process in running:
            process.kill()
            process.wait()
        for output in outputs:
            whole = output.read_text().rpartition("\n")[0].splitlines()
            steps += [list(map(float, line.split())) for line in whole[3:]]


def timed_network(folder: Path) -> Callable[[], None]:
    """An exported file on the default target, as every trial is timed."""
    file = folder / "resnet18.onnx"
    spec = InputSpec(height=INPUT_SIZE[0], width=INPUT_SIZE[1], mean=MEAN, std=STD, embedding_dim=512)
    export_onnx(build(BACKBONE, 10).eval(), spec, file)
    return open_artifact(file, Target()).timer()


def timings(run: Callable[[], None], lock: DeviceLock, count: int, kernel_ms: float) -> list[Latency]:
    return [measure(run, lock=lock, kernel_ms_at_start=kernel_ms) for _ in range(count)]


def spread(medians: Sequence[float]) -> float | None:
    return (max(medians) - min(medians)) / median(medians) if medians else None


def summary(found: Sequence[Latency], idle_ms: float) -> dict[str, Any]:
    medians = [one.latency_ms for one in found]
    return {
        "medians_ms": medians,
        "median_ms": median(medians),
        "spread_of_medians": spread(medians),
        "spread_of_trusted_medians": spread([one.latency_ms for one in found if one.trusted]),
        "over_idle": median(medians) / idle_ms - 1,
        "worst_over_idle": max(medians, key=lambda one: abs(one / idle_ms - 1)) / idle_ms - 1,
        "trusted": sum(one.trusted for one in found),
        "attempts": sum(one.attempts for one in found),
        "longest_wait_s": max(one.waited_s for one in found),
        "largest_p90_over_median": max(one.p90_ms / one.latency_ms for one in found),
        "largest_queued": max(one.queued for one in found),
        "largest_kernel_drift": max((one.kernel_drift for one in found), key=abs),
    }


def steps_summary(steps: list[list[float]]) -> dict[str, float]:
    return {
        "steps": len(steps),
        "median_step_s": median(step for step, _ in steps),
        "longest_wait_of_a_step_s": max(wait for _, wait in steps),
    }


def compare(folder: Path, idle_count: int, locked: int, unlocked: int) -> dict[str, Any]:
    run, lock = timed_network(folder), DeviceLock("cpu", folder=folder)
    nobodys = DeviceLock("cpu", folder=folder / "nobodys")
    kernel_ms = calibration_kernel_ms(lock)
    idle = timings(run, lock, idle_count, kernel_ms)
    idle_ms = median(one.latency_ms for one in idle)

    def beside(count: int, lock: DeviceLock, number: int) -> dict[str, Any]:
        with trainers(count, folder) as steps:
            found = timings(run, lock, number, kernel_ms)
        return summary(found, idle_ms) | steps_summary(steps)

    return {
        "network": f"{BACKBONE} {INPUT_SIZE[0]}x{INPUT_SIZE[1]}, onnxruntime, one thread",
        "kernel_ms_at_start": kernel_ms,
        "idle": summary(idle, idle_ms),
        "with_lock": {str(count): beside(count, lock, locked) for count in TRAINERS},
        "without_lock": {str(max(TRAINERS)): beside(max(TRAINERS), nobodys, unlocked)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--train-in", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    one_thread()
    if options.train_in:
        train_for_ever(options.train_in)
    with tempfile.TemporaryDirectory() as temporary:
        start = time.perf_counter()
        figures = compare(Path(temporary), *(FEW_TIMINGS if options.small else TIMINGS))
        write_result("lock", figures | {"seconds": time.perf_counter() - start})


if __name__ == "__main__":
    main()
