"""S1: what a search does when its disk is full, and when it nearly is before it begins."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reid.errors import ResourceError, StudyInUse
from results import Study, open_study
from results.reserve import Reserve
from search.execute import run_job
from search.jobs import Resources, Supply
from tests.fault.filesystem import filesystem, fill

pytestmark = pytest.mark.fault


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own with 512 KiB."""
    with filesystem(tmp_path / "small", "512k") as folder:
        yield folder


@pytest.fixture
def three_megabytes(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own with 3 MiB."""
    with filesystem(tmp_path / "three", "3m") as folder:
        yield folder


@pytest.mark.parametrize("fails", [True, False])
def test_s1_the_reserve_lets_the_last_trial_be_recorded(
    fails: bool, three_megabytes: Path, run_search: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = run_search(1, path=three_megabytes / "study")
    monkeypatch.setenv("REID_PARETO_FAKE", json.dumps({"2": "config"} if fails else {}))
    filler: list[Path] = []

    def runs_until_the_disk_is_full(supply: Supply, resources: Resources) -> None:
        while not supply.finished and (job := supply.take()) is not None:
            answer = run_job(job)
            if job.number == 2:
                if not fails:  # as real networks, it has more than the reserve
                    (job.work / "artifact" / "weights.bin").write_bytes(bytes(1_500_000))
                filler.append(fill(three_megabytes))
            supply.settle(job, answer)

    with pytest.raises(ResourceError, match="No space left on device"):
        run_search(9, path=study.path, runner=runs_until_the_disk_is_full)
    again = open_study(study.path)
    assert [record.number for record in again.records()] == [0, 1, 2]
    assert again.record(2).status == ("failed" if fails else "complete")
    assert again.damaged() == ()
    if not fails:
        again.artifact(2)
    filler[0].unlink()
    assert [record.number for record in run_search(9, path=study.path).records()] == list(range(9))


def test_s1_a_disk_without_a_megabyte_is_told_before_any_trial(
    small: Path, run_search: Callable[..., Study]
) -> None:
    with pytest.raises(ResourceError, match=r"cannot reserve 1 MiB.*make room"):
        run_search(1, path=small / "study")


@pytest.mark.parametrize(("error", "stays"), [(StudyInUse, True), (ResourceError, False)])
def test_d8_the_reserve_of_a_driver_that_took_over_stays(
    error: type[Exception], stays: bool, tmp_path: Path
) -> None:
    with pytest.raises(error), Reserve(tmp_path):
        raise error("so it is")
    assert (tmp_path / "study.reserve").exists() == stays
