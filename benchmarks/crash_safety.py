"""Drivers of real studies on Ray killed at random moments: what is lost, what is done twice, what goes on running.

python -m benchmarks.crash_safety [--kills 50] [--kills-per-study 5]    writes results/crash-safety-<device>.json

Each study has sixteen trials that only sleep. Its driver is killed (SIGKILL) some time after it was started, again
and again, and then left to end. A kill may hit the start, a commit, or anything between.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.device import write_result

ROOT = Path(__file__).resolve().parents[1]
TRIALS, SLEEP_S = 16, 0.4
LOG = "REID_PARETO_CRASH_LOG"
FIGURES = (
    "kills", "kills_with_trials_running", "trials", "lost", "committed_repeated", "committed_changed",
    "left_running", "orphans", "damaged", "uncommitted_run_again",
)  # fmt: skip


def sleeper(job: Any, contact: Any) -> dict[str, Any]:
    """A trial that sleeps, and leaves a file that says that it ran."""
    (Path(os.environ[LOG]) / f"{job.number}-{job.attempt}-{os.getpid()}").touch()
    time.sleep(SLEEP_S)
    metrics = {"mAP": 1 / (2 + job.number), "latency_ms": 1.0 + job.number % 7}
    return {"status": "complete", "metrics": metrics, "latency_trusted": True, "protocol": "none"}


def drive(study: Path) -> None:
    """One driver, as a process of its own."""
    import spaces
    from search.jobs import Resources
    from search.opening import Data
    from search.session import search

    search(
        study,
        spaces.load("demo"),
        Data(name="synthetic", root=Path("/"), fingerprint="none"),
        trials=TRIALS,
        resources=Resources(gpus_per_trial=0),
        function="benchmarks.crash_safety:sleeper",
    )


def one_study(folder: Path, kills: int, rng: random.Random) -> Counter[str]:
    """Kill the drivers of one study and count what came of it."""
    from results import open_study

    study, log = folder / "study", folder / "log"
    log.mkdir()
    found = Counter[str]()
    kept: dict[int, bytes] = {}
    allowed = 0
    for _ in range(kills):
        ran = sum(attempts(log).values())
        driver = start(study, log)
        # Half of the kills are drawn over a driver's whole life, half over that with trials.
        if rng.random() < 0.5:
            while sum(attempts(log).values()) == ran and driver.poll() is None:
                time.sleep(0.01)
        time.sleep(rng.uniform(0, 4.0))
        if driver.poll() is None:
            driver.kill()
            found["kills"] += 1
        driver.wait()
        now = records(study)
        found["committed_changed"] += sum(now.get(number) != content for number, content in kept.items())
        kept = now
        if (study / "study.json").exists():
            begun = open_study(study).started()
            allowed += len(begun)
            found["kills_with_trials_running"] += bool(begun)
    before = attempts(log)
    start(study, log).wait()
    done = open_study(study)
    after = attempts(log)
    numbers = [record.number for record in replace(done, salvage=True).records()]
    again = sum(after[number] - 1 for number in range(TRIALS))
    found["trials"] += len(numbers)
    found["lost"] += len(set(range(TRIALS)) - set(numbers))
    found["committed_repeated"] += sum(after[number] != before[number] for number in kept)
    found["committed_repeated"] += max(0, again - allowed)
    found["uncommitted_run_again"] += again
    found["left_running"] += len(done.started())
    found["damaged"] += len(done.damaged())
    time.sleep(5)
    found["orphans"] += sum(is_alive(int(path.name.rsplit("-", 1)[1])) for path in log.iterdir())
    return found


def start(study: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.crash_safety", "--drive", str(study)]
    variables = {**os.environ, LOG: str(log), "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=variables, stderr=subprocess.DEVNULL, start_new_session=True
    )


def records(study: Path) -> dict[int, bytes]:
    found = (study / "trials").glob("[0-9]*.json")
    return {int(path.stem): path.read_bytes() for path in found if path.stem.isdecimal()}


def attempts(log: Path) -> Counter[int]:
    return Counter(int(path.name.rsplit("-", 2)[0]) for path in log.iterdir())


def is_alive(pid: int) -> bool:
    try:
        return b"ray::" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--kills-per-study", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drive:
        drive(given.drive)
        return
    rng, total, started = random.Random(given.seed), Counter[str](), time.perf_counter()
    studies = 0
    while total["kills"] < given.kills:
        with tempfile.TemporaryDirectory() as folder:
            found = one_study(Path(folder), min(given.kills_per_study, given.kills - total["kills"]), rng)
        studies += 1
        total += found
        print(f"study {studies}: {dict(found)}", flush=True)
    figures = {name: total[name] for name in FIGURES}
    seconds = round(time.perf_counter() - started)
    write_result("crash-safety", {"studies": studies, **figures, "seconds": seconds})


if __name__ == "__main__":
    main()
