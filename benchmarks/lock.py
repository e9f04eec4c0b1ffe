"""One network timed on an idle machine, and beside two trainers with and without the device lock.

python -m benchmarks.lock
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
from reid.models import build
from reid.timing import DeviceLock, Latency, calibration_kernel_ms, measure

BACKBONE, INPUT_SIZE = "resnet18", (256, 128)
TRAINERS, BATCH, TRAINING_SIZE = 2, 8, (128, 64)
# Without the lock no timing is trusted, so each takes its three attempts.
IDLE_TIMINGS, LOCKED_TIMINGS, UNLOCKED_TIMINGS = 20, 6, 4


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
def trainers(folder: Path) -> Iterator[list[list[float]]]:
    """Two training processes; the list holds their steps once the block is left."""
    outputs = [folder / f"steps{number}" for number in range(TRAINERS)]
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


def timed_network() -> Callable[[], None]:
    torch.set_num_threads(1)
    network = build(BACKBONE, 10).eval()
    image = torch.randn(1, 3, *INPUT_SIZE)

    def run() -> None:
        with torch.inference_mode():
            network(image)

    return run


def timings(run: Callable[[], None], lock: DeviceLock, count: int, kernel_ms: float) -> list[Latency]:
    found = []
    for _ in range(count):
        found.append(measure(run, lock=lock, kernel_ms_at_start=kernel_ms, runs=20, seconds=0.4))
        time.sleep(0.1)
    return found


def summary(found: Sequence[Latency], idle_ms: float) -> dict[str, Any]:
    medians = [one.latency_ms for one in found]
    return {
        "medians_ms": medians,
        "median_ms": median(medians),
        "spread_of_medians": (max(medians) - min(medians)) / median(medians),
        "over_idle": median(medians) / idle_ms - 1,
        "worst_over_idle": max(medians, key=lambda one: abs(one / idle_ms - 1)) / idle_ms - 1,
        "trusted": sum(one.trusted for one in found),
        "attempts": sum(one.attempts for one in found),
        "longest_wait_s": max(one.waited_s for one in found),
        "largest_p90_over_median": max(one.p90_ms / one.latency_ms for one in found),
        "largest_kernel_drift": max((one.kernel_drift for one in found), key=abs),
    }


def steps_summary(steps: list[list[float]]) -> dict[str, float]:
    return {
        "steps": len(steps),
        "median_step_s": median(step for step, _ in steps),
        "longest_wait_of_a_step_s": max(wait for _, wait in steps),
    }


def compare(folder: Path) -> dict[str, Any]:
    run, lock = timed_network(), DeviceLock("cpu", folder=folder)
    nobodys = DeviceLock("cpu", folder=folder / "nobodys")
    kernel_ms = calibration_kernel_ms(lock)
    idle = timings(run, lock, IDLE_TIMINGS, kernel_ms)
    idle_ms = median(one.latency_ms for one in idle)
    with trainers(folder) as beside_locked:
        locked = timings(run, lock, LOCKED_TIMINGS, kernel_ms)
    with trainers(folder) as beside_unlocked:
        unlocked = timings(run, nobodys, UNLOCKED_TIMINGS, kernel_ms)
    return {
        "network": f"{BACKBONE} {INPUT_SIZE[0]}x{INPUT_SIZE[1]}, torch, one thread",
        "trainers": TRAINERS,
        "kernel_ms_at_start": kernel_ms,
        "idle": summary(idle, idle_ms),
        "with_lock": summary(locked, idle_ms) | steps_summary(beside_locked),
        "without_lock": summary(unlocked, idle_ms) | steps_summary(beside_unlocked),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train-in", type=Path, help=argparse.SUPPRESS)
    folder = parser.parse_args().train_in
    one_thread()
    if folder:
        train_for_ever(folder)
    with tempfile.TemporaryDirectory() as temporary:
        start = time.perf_counter()
        figures = compare(Path(temporary))
        write_result("lock", figures | {"seconds": time.perf_counter() - start})


if __name__ == "__main__":
    main()
