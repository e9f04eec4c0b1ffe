import os
import threading
from itertools import count

import pytest

from reid.data import parallel, progress_lines
from reid.data.parallel import map_in_order


@pytest.mark.parametrize("workers", [1, 3, None])
@pytest.mark.parametrize("length", [0, 1, 64, 65, 1000])
def test_results_come_in_the_order_of_the_items(workers: int | None, length: int) -> None:
    results = map_in_order(lambda n: n * n, range(length), what="square", workers=workers)
    assert list(results) == [n * n for n in range(length)]


def test_progress_is_told_in_the_callers_thread() -> None:
    told: list[tuple[str, int, int, int]] = []

    def progress(what: str, done: int, total: int) -> None:
        told.append((what, done, total, threading.get_ident()))

    list(map_in_order(str, range(150), what="say", workers=2, progress=progress))
    assert told == [("say", done, 150, threading.get_ident()) for done in (64, 128, 150)]


def test_a_line_every_ten_seconds_and_none_for_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    clock = iter([0.0, 4.0, 11.0, 12.0, 25.0, 40.0])
    monkeypatch.setattr(parallel.time, "monotonic", lambda: next(clock))
    tell = progress_lines(said.append)
    for done in (64, 128, 192, 256, 300):
        tell("decode", done, 300)
    assert said == ["decode: 128 of 300 images", "decode: 256 of 300 images"]


def test_an_error_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(lambda n: 1 // (n - 70), range(200), what="divide", workers=2))


def test_work_does_not_run_far_ahead_of_the_reader() -> None:
    started = count()
    results = map_in_order(lambda _: next(started), range(100_000), what="count", workers=2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert next(started) < 1000


def test_threads_are_those_of_the_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    seen: set[int] = set()
    list(map_in_order(lambda _: seen.add(threading.get_ident()), range(1000), what="count"))
    assert len(seen) == 1
