"""D1 with the whole pipeline: the search process is killed five times in one study and loses nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.fault]

TRIALS = 3
KILLS = 5


def committed(study: Path) -> dict[str, bytes]:
    """Content of every committed record by file name."""
    return {p.name: p.read_bytes() for p in (study / "trials").glob("[0-9]*.json") if p.stem.isdigit()}


def test_five_kills_lose_and_repeat_nothing(data: Path, space: Path, tmp_path: Path) -> None:
    study, moments = tmp_path / "study", random.Random(20261121)
    command = [
        Path(sys.executable).with_name("reid-pareto"), "search", "--space", space, "--data", data,
        "--study", study, "--trials", str(TRIALS),
    ]  # fmt: skip
    kept: dict[str, bytes] = {}
    for _ in range(KILLS):
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(5, 20))
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        now = committed(study) if study.exists() else {}
        assert kept.items() <= now.items(), "a committed record changed or is gone"
        kept = now
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    final = committed(study)
    assert kept.items() <= final.items(), "a committed trial was repeated"
    records = [json.loads(text) for text in final.values()]
    assert sorted(r["number"] for r in records) == list(range(TRIALS))
    assert {r["status"] for r in records} <= {"complete", "infeasible"}
    started = {p.name.split(".")[0] for p in (study / "trials").glob("*.started.json")}
    assert started <= {f"{r['number']:06d}" for r in records}, "a trial was left running"
