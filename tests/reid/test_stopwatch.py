"""Seconds of work within work are counted once."""

import time
from contextlib import suppress

import pytest

from reid.stopwatch import NestedWatch


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes in `sleep` only, so that a busy machine changes nothing."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))


def test_inner_work_is_not_that_of_the_outer() -> None:
    watch = NestedWatch()
    with watch.work() as outer:
        time.sleep(0.05)
        for _ in range(2):
            with watch.work() as inner:
                time.sleep(0.1)
    assert (outer.seconds, inner.seconds) == (pytest.approx(0.05), pytest.approx(0.1))


def test_what_fails_is_timed_and_leaves_the_next_alone() -> None:
    watch = NestedWatch()
    with suppress(ValueError), watch.work() as failed:
        time.sleep(0.02)
        int("no")
    with watch.work() as next_one:
        pass
    assert (failed.seconds, next_one.seconds) == (pytest.approx(0.02), 0.0)
