"""What the search itself costs: no-op trials through Ray, records committed, beside bare Ray Tune in the same run.

python -m benchmarks.overhead [--trials 1000]    writes benchmarks/results/overhead-<device>.json
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def ours(trials: int) -> dict[str, Any]:
    """A study of no-op trials: ms per trial after the first tenth, and what the driver's memory grew by meanwhile."""
    import spaces
    from search.jobs import Resources
    from search.opening import Data
    from search.session import search

    marks: list[tuple[float, float]] = []
    note_marks(marks)
    with tempfile.TemporaryDirectory() as folder:
        search(
            Path(folder) / "study",
            spaces.load("demo"),
            Data(name="synthetic", root=Path(folder), fingerprint="none"),
            trials=trials,
            sampler="random",
            resources=Resources(gpus_per_trial=0),
            function="benchmarks.overhead:no_op",
        )
    first, last = marks[len(marks) // 10], marks[-1]
    counted = len(marks) - 1 - len(marks) // 10
    return {"ms_per_trial": 1000 * (last[0] - first[0]) / counted, "memory_growth_mb": last[1] - first[1]}


def note_marks(marks: list[tuple[float, float]]) -> None:
    """Note time and memory (MB) at each commit of the driver."""
    from search.monitor import Monitor

    committed = Monitor.committed

    def noted(self: Monitor, record: Any) -> None:
        committed(self, record)
        marks.append((time.perf_counter(), resident_mb()))

    Monitor.committed = noted  # type: ignore[method-assign]


def no_op(job: Any, contact: Any) -> dict[str, Any]:
    """A trial that does nothing."""
    metrics = {"mAP": 1 / (2 + job.number), "latency_ms": 1.0 + job.number % 7}
    return {"status": "complete", "metrics": metrics, "latency_trusted": True, "protocol": "none"}


def bare(trials: int) -> dict[str, Any]:
    """Ray Tune alone with reused actors and a searcher that knows nothing: ms per trial after the first tenth."""
    import logging

    import ray
    from ray import tune
    from ray.tune import Callback, CheckpointConfig, RunConfig, TuneConfig, Tuner

    class NoOp(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            pass

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def step(self) -> dict[str, Any]:
            return {"done": True}

    times: list[float] = []

    class Clock(Callback):  # type: ignore[misc]
        def on_trial_complete(self, *_: Any, **__: Any) -> None:
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        Tuner(
            tune.with_resources(NoOp, {"cpu": 1}),
            param_space={"x": tune.uniform(0, 1)},
            tune_config=TuneConfig(num_samples=trials, reuse_actors=True),
            run_config=RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[Clock()],
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
        ray.shutdown()
    start = len(times) // 10
    return {"ms_per_trial": 1000 * (times[-1] - times[start]) / (len(times) - 1 - start)}


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--what", choices=["ours", "bare"])
    parser.add_argument("--dry", action="store_true", help="write no result")
    given = parser.parse_args()
    if given.what:
        print(json.dumps({"ours": ours, "bare": bare}[given.what](given.trials)))
        return
    from benchmarks.device import write_result

    result: dict[str, Any] = {"trials": given.trials}
    for what in ("bare", "ours"):
        command = [sys.executable, "-m", "benchmarks.overhead", "--what", what, "--trials", str(given.trials)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        result[what] = json.loads(done.stdout.splitlines()[-1])
        print(what, result[what])
    if not given.dry:
        print(write_result("overhead", result))


if __name__ == "__main__":
    main()
