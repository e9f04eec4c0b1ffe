"""Seconds of work within work are counted once."""

import time
from contextlib import suppress

import pytest

from reid.stopwatch import NestedWatch


def test_inner_work_is_not_that_of_the_outer() -> None:
    watch = NestedWatch()
    started = time.perf_counter()
    with watch.work() as outer:
        time.sleep(0.05)
        for _ in range(2):
            with watch.work() as inner:
                time.sleep(0.1)
    whole = time.perf_counter() - started
    assert 0.1 <= inner.seconds < 0.2
    assert 0.05 <= outer.seconds < 0.15
    assert outer.seconds + 2 * inner.seconds == pytest.approx(whole, rel=0.2)


def test_what_fails_is_timed_and_leaves_the_next_alone() -> None:
    watch = NestedWatch()
    with suppress(ValueError), watch.work() as failed:
        time.sleep(0.02)
        int("no")
    with watch.work() as next_one:
        pass
    assert failed.seconds >= 0.02
    assert 0 <= next_one.seconds < 0.02
