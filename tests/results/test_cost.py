import pytest

from results.cost import lost_seconds, saved_seconds, stage_seconds
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


def test_processor_and_gpu_time_add_up_where_they_are_known() -> None:
    told = make_record(stages=[stage("dense", "d", 2.0) | {"cpu_seconds": 3.5, "gpu_seconds": 1.0}])
    assert stage_seconds([*RECORDS, told], "cpu_seconds") == {"dense": 3.5, "prune": 0.0}
    assert stage_seconds([*RECORDS, told], "gpu_seconds") == {"dense": 1.0, "prune": 0.0}


def test_what_failed_and_what_was_left_unfinished_is_lost() -> None:
    retried = make_record(1, stages=[stage("dense", "", 7.0) | {"lost": True}, stage("dense", "d", 100.0)])
    error = {"kind": "ArtifactError", "message": "NaN"}
    failed = make_record(
        2,
        status="failed",
        error=error,
        metrics={},
        stages=[stage("dense", "d", 1.0, cached=True), stage("prune", "p", 4.0)],
    )
    assert lost_seconds([*RECORDS, retried, failed]) == 12.0
    assert lost_seconds(RECORDS) == 0.0
