"""The queue between driver and Tune, without Ray: how long broken devices are waited beside."""

from types import SimpleNamespace
from typing import Any

import pytest

import search.runner.queue
from reid.errors import NoDevice
from search.runner.capacity import Share
from search.runner.queue import Queue


@pytest.mark.parametrize(("places", "ends"), [((2, 1, 2), False), ((1, 1), True), ((2, 0), False)])
def test_a_node_that_is_gone_for_a_while_ends_nothing(
    places: tuple[int, ...], ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One device is broken and held; the search ends only where there never was another."""
    failures: list[Exception] = []
    supply: Any = SimpleNamespace(finished=False, take=lambda: None, fail=failures.append)
    queue = Queue(supply, Share(cpus=1, gpus=1), None)
    queue.held["broken"] = "ECC error"
    for room in places:
        queue._count_at = 0.0
        monkeypatch.setattr(search.runner.queue, "capacity", lambda share, room=room: room)
        queue.suggest("next")
    assert [type(error) for error in failures] == [NoDevice] * (len(places) if ends else 0)
