"""Cores as part of the target: what runs, runs there, and the process is left as it was."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid.config import Target, TrialConfig
from reid.errors import ConfigError, NoDevice
from reid.runtime import demand_usable, open_artifact
from reid.runtime.pinned import Pinned, pinned
from reid.timing import DeviceLock, compare, measure
from tests.contract.deployment import people, tiny_artifact
from tests.contract.runtime import RuntimeContract

FIRST = min(os.sched_getaffinity(0))
ABSENT = 100_000


class TestPinnedRuntime(RuntimeContract):
    target = Target(affinity=(FIRST,))


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    yield
    assert os.sched_getaffinity(0) == before


def test_it_runs_on_the_core_and_nowhere_else(tmp_path: Path) -> None:
    seen: list[set[int]] = []

    class Spy:
        def __init__(self) -> None:
            seen.append(os.sched_getaffinity(0))

        def embed(self, images: object) -> None:
            seen.append(os.sched_getaffinity(0))

        def timer(self) -> object:
            return lambda: seen.append(os.sched_getaffinity(0))

    runtime = Pinned(Spy, (FIRST,))  # type: ignore[arg-type]
    runtime.embed(people(1))
    runtime.timer()()
    assert seen == [{FIRST}] * 3


def test_threads_of_the_runtime_stay_on_the_cores(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/task"))
    runtime = open_artifact(tiny_artifact(tmp_path).path, Target(affinity=(FIRST,)))
    runtime.embed(people(2))
    for thread in set(os.listdir("/proc/self/task")) - before:
        assert os.sched_getaffinity(int(thread)) == {FIRST}


def test_embeddings_do_not_change(tmp_path: Path) -> None:
    path = tiny_artifact(tmp_path).path
    free, bound = (open_artifact(path, target) for target in (Target(), Target(affinity=(FIRST,))))
    np.testing.assert_array_equal(free.embed(people(3)), bound.embed(people(3)))


@pytest.mark.parametrize("cores", [(FIRST,), tuple(sorted(os.sched_getaffinity(0)))], ids=["one", "all"])
def test_it_is_timed_on_its_cores(tmp_path: Path, cores: tuple[int, ...]) -> None:
    lock, seen = DeviceLock("cpu", folder=tmp_path), []
    run = open_artifact(tiny_artifact(tmp_path).path, Target(affinity=cores)).timer()

    def watched() -> None:
        run()
        seen.append(os.sched_getaffinity(0))

    options: dict[str, Any] = {"lock": lock, "seconds": 0.01, "affinity": cores}
    measure(watched, runs=1, **options)
    compare([watched], rounds=1, **options)
    assert {frozenset(used) for used in seen} == {frozenset({max(cores)})}


def test_a_core_that_is_not_there_is_named_before_any_work() -> None:
    with pytest.raises(NoDevice, match=rf"core {ABSENT} cannot be used here, only {FIRST}"):
        demand_usable(Target(affinity=(ABSENT,)))
    with pytest.raises(RuntimeError, match="inside"), pinned((FIRST,)):
        raise RuntimeError("inside")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"affinity": []}, "different cores"),
        ({"affinity": [0, 0]}, "different cores"),
        ({"affinity": [-1]}, "different cores"),
        ({"affinity": [0], "threads": 2}, "at least target.threads = 2 cores"),
        ({"affinity": "0"}, "list of whole numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Target.from_dict(values)


def test_a_configuration_keeps_its_cores() -> None:
    config = TrialConfig(target=Target(affinity=(0, 1), threads=2))
    assert config.to_dict()["target"]["affinity"] == [0, 1]
    assert TrialConfig.from_dict(config.to_dict()) == config
