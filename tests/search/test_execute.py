"""One job in this process."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search import contact, execute
from search.jobs import Job


def job(folder: Path, function: str) -> Job:
    return Job(number=1, attempt=1, function=f"tests.search.test_execute:{function}", work=folder)


def talks(job: Job, say: Callable[[str], None]) -> dict[str, Any]:
    counts = set()
    for line in ("one", "two"):
        say(line)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            sign = json.loads(job.sign_of_life.read_text()) if job.sign_of_life.exists() else {}
            if sign.get("said") == line:
                counts.add(sign["count"])
                break
            time.sleep(0.01)
    return {"signs": len(counts)}


def raises_key_error(job: Job, say: Callable[[str], None]) -> dict[str, Any]:
    raise KeyError("missing")


def test_signs_of_life_change_and_carry_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact, "SIGN_INTERVAL_S", 0.02)
    answer = execute.run_job(job(tmp_path, "talks"))
    assert answer.outcome == {"signs": 2}
    assert not [thread for thread in threading.enumerate() if thread.name == "signs-of-life"]


def test_no_exception_leaves(tmp_path: Path) -> None:
    error = execute.run_job(job(tmp_path, "raises_key_error")).error
    assert error == {"kind": "KeyError", "message": "'missing'"}


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("no_colon", "ConfigError"),
        ("tests.search:nothing", "AttributeError"),
        ("no.such:thing", "ModuleNotFoundError"),
    ],
)
def test_a_function_that_is_not_there(tmp_path: Path, function: str, kind: str) -> None:
    error = execute.run_job(Job(number=1, attempt=1, function=function, work=tmp_path)).error
    assert error is not None
    assert error["kind"] == kind
