"""S10: a thousand trials within a limit on their files, and what the removal of files means to pick and verify."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import spaces
from reid.errors import ConfigError, StudyInUse
from results import Study, commit_fact, open_study
from results.eviction import size_of
from results.layout import artifact_folder
from results.study import DISCARDED, front_of
from search.disk import ArtifactKeeper, DiskLimits, parse_bytes
from search.opening import Data
from search.picking import Wishes, pick_package
from search.session import search
from search.simulator.cluster import SimulatedCluster
from search.simulator.landscape import load_landscape


@pytest.mark.fault
def test_s10_a_thousand_trials_keep_the_front_and_the_best_beside_it(tmp_path: Path) -> None:
    space = spaces.load("market-osnet")
    cluster = SimulatedCluster(landscape=load_landscape("market-osnet"), workers=8, artifacts=True)
    study = search(
        tmp_path / "study",
        space,
        Data(name=space.dataset, root=tmp_path, fingerprint="simulated"),
        trials=1000,
        sampler="random",
        disk=DiskLimits(artifact_bytes=20_000),
        runner=cluster.run_jobs,
    )
    records = study.records()
    kept = {record.number for record in records if artifact_folder(study.path, record.number).exists()}
    assert kept >= {record.number for record in study.front()}
    assert len(study.front()) < len(kept) < 200
    assert sum(size_of(artifact_folder(study.path, number)) for number in kept) <= 20_000
    complete = {record.number for record in records if record.artifact}
    assert study.discarded() == complete - kept
    for number in kept:
        study.artifact(number)
    # What was dropped is no better than what was kept off the front: it is dominated by more of the others.
    points = np.array([[r.metrics["mAP"], -r.metrics["latency_ms"]] for r in records if r.number in complete])
    beaten = {r.number: beaten_by(points, r.metrics) for r in records if r.number in complete}
    spare, dropped = kept - {record.number for record in study.front()}, complete - kept
    assert max(beaten[number] for number in spare) < max(beaten[number] for number in dropped)


def beaten_by(points: NDArray[np.float64], metrics: Mapping[str, float]) -> int:
    """How many points dominate one, by definition."""
    own = np.array([metrics["mAP"], -metrics["latency_ms"]])
    return int(((points >= own).all(axis=1) & (points > own).any(axis=1)).sum())


def test_a_trial_without_files_is_never_picked_and_says_why(
    run_search: Callable[..., Study], tmp_path: Path
) -> None:
    study = run_search(6, disk=DiskLimits(artifact_bytes=0))
    gone = study.discarded()
    front = {record.number for record in study.front()}
    assert gone
    assert not gone & front
    number = min(gone)
    with pytest.raises(ConfigError, match=rf"trial {number} has no files any more.*--artifact-limit"):
        pick_package(study, Wishes(trial=number), tmp_path / "package", check=False, say=print)
    assert study.baseline is not None
    study.artifact(study.baseline.number)


def test_the_limit_counts_what_an_earlier_search_left(run_search: Callable[..., Study]) -> None:
    before = run_search(6)
    assert before.discarded() == frozenset()
    after = run_search(7, disk=DiskLimits(artifact_bytes=0))
    kept = {record.number for record in after.records() if record.number not in after.discarded()}
    assert kept == {record.number for record in open_study(after.path).front()}


def test_what_may_be_timed_again_is_kept_before_what_is_beaten(run_search: Callable[..., Study]) -> None:
    """The best of a study on a restless machine: `retime` may put it on the front, where its files are still there."""
    study = run_search(6)
    best = study.record(0)
    better = {"mAP": 0.99, "latency_ms": 0.001, "size_bytes": 1.0}
    keeper = ArtifactKeeper(study, 10**9)
    keeper.committed(dataclasses.replace(best, metrics=better, latency_trusted=False))
    stopped = dataclasses.replace(study.record(1), status="stopped")
    keeper.committed(stopped)
    order = keeper._dispensable()
    assert order[0] == 1
    assert order[-1] == 0, "last to go, but no member of the front as yet"
    rest = [record for record in study.records() if record.number > 1]
    front = {record.number for record in front_of(rest, study.objectives)}
    assert front
    assert not front & set(order), "an untrusted one takes no place of the front"


def test_a_removal_that_was_broken_off_is_ended(run_search: Callable[..., Study]) -> None:
    study = run_search(6)
    number = next(record.number for record in study.records() if record.artifact)
    commit_fact(study, number, DISCARDED, {"reason": "and then the power failed"})
    assert artifact_folder(study.path, number).is_dir()
    ArtifactKeeper(study, 10**9)
    assert not artifact_folder(study.path, number).exists()


@pytest.mark.parametrize(
    ("text", "count"),
    [("20GB", 20 * 10**9), ("1.5 GiB", 1.5 * 2**30), ("500M", 5 * 10**8), ("1000", 1000), ("0", 0)],
)
def test_bytes_as_people_write_them(text: str, count: float) -> None:
    assert parse_bytes(text, "--cache-limit") == count


@pytest.mark.parametrize("text", ["", "many", "-1GB", "5 parsecs", "1e3GB"])
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--cache-limit takes bytes such as 20GB"):
        parse_bytes(text, "--cache-limit")


@pytest.mark.fault
def test_d8_a_driver_that_lost_the_study_removes_nothing(run_search: Callable[..., Study]) -> None:
    study = run_search(6)

    def taken() -> None:
        raise StudyInUse("taken over")

    keeper = ArtifactKeeper(study, 0, taken)
    with pytest.raises(StudyInUse):
        keeper.committed(study.records()[-1])
    assert study.discarded() == frozenset()
    assert all(study.artifact(record.number) for record in study.records() if record.artifact)
