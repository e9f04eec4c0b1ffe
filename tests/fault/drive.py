"""Starts drivers with fake trials for the fault tests, and looks at what they leave."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 180

Drive = Callable[..., subprocess.Popen[str]]


def start_driver(
    study: Path,
    executions: Path,
    trials: int,
    *options: str,
    sleep_s: float = 0.2,
    faults: dict[str, str] | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[str]:
    """A driver on `study` in a session of its own, as a terminal would give it."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "REID_PARETO_FAKE_SLEEP": str(sleep_s),
        "REID_PARETO_FAKE_LOG": str(executions),
        "REID_PARETO_FAKE": json.dumps(faults or {}),
        **(environment or {}),
    }
    command = [sys.executable, "-m", "tests.search.drive", str(study), str(trials), *options]
    return subprocess.Popen(
        command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def end_driver(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stderr:
        process.stderr.close()


def wait_until(holds: Callable[[], object], driver: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        assert driver.poll() is None, driver.communicate()[1]
        time.sleep(0.01)


def finish(driver: subprocess.Popen[str]) -> str:
    _, said = driver.communicate(timeout=PATIENCE_S)
    return said


def committed(study: Path) -> dict[int, bytes]:
    return {int(p.stem): p.read_bytes() for p in (study / "trials").glob("[0-9]*.json") if p.stem.isdecimal()}


def attempts(executions: Path) -> Counter[int]:
    counted: Counter[int] = Counter()
    for path in executions.iterdir():
        number = path.name.rsplit("-", 2)[0]
        counted[int(number)] += 1
    return counted
