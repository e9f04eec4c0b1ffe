import pytest

from results.cost import saved_seconds, stage_seconds
from tests.results.samples import make_record


def stage(name: str, key: str, seconds: float, cached: bool = False) -> dict[str, object]:
    """One entry of `Record.stages`."""
    return {"name": name, "key": key, "seconds": seconds, "cached": cached}


RECORDS = [
    make_record(0, stages=[stage("dense", "d", 100.0), stage("prune", "p0", 30.0)]),
    make_record(1, stages=[stage("dense", "d", 1.0, cached=True), stage("prune", "p1", 40.0)]),
    make_record(2, stages=[stage("dense", "d", 2.0, cached=True), stage("prune", "lost", 3.0, cached=True)]),
]


def test_seconds_add_up_by_stage() -> None:
    assert stage_seconds(RECORDS) == {"dense": 103.0, "prune": 73.0}
    assert list(stage_seconds(RECORDS)) == ["dense", "prune"]


def test_the_cache_saved_what_computing_took_less_what_fetching_took() -> None:
    assert saved_seconds(RECORDS) == pytest.approx(99.0 + 98.0)
    assert saved_seconds(RECORDS[1:]) == 0.0


def test_nothing_costs_nothing() -> None:
    assert stage_seconds([]) == {}
    assert saved_seconds([]) == 0.0
