"""A new study learns from finished ones, and goes on alike when it resumes."""

import dataclasses
from pathlib import Path

import pytest

import spaces
from reid.config import Limit
from reid.errors import ConfigError
from results import Study, commit
from search.opening import Data
from search.planner import override
from search.session import search
from search.simulator.cluster import SimulatedCluster
from search.simulator.landscape import load_landscape
from search.simulator.run import simulate
from search.warm_start import observations, params_of, told_before
from spaces import parse_space
from tests.results.samples import failed_record

SPACE = spaces.load("market-osnet")
TABLE = load_landscape("market-osnet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("finished") / "study"
    return simulate(folder, SPACE, TABLE, trials=24, sampler="random").study


def begin(folder: Path, trials: int, warm: tuple[Study, ...] = ()) -> Study:
    data = Data(name=SPACE.dataset, root=folder.parent, fingerprint="simulated")
    cluster = SimulatedCluster(landscape=TABLE)
    return search(folder, SPACE, data, trials=trials, seed=1, warm_start=warm, runner=cluster.run_jobs)


def params(study: Study) -> list[dict[str, object]]:
    return [record.params for record in study.records()]


def test_a_sampler_starts_from_what_others_found(finished: Study, tmp_path: Path) -> None:
    warm = begin(tmp_path / "warm", 12, (finished,))
    cold = begin(tmp_path / "cold", 12)
    assert len(warm.definition["warm_start"]) == 24
    assert len(warm.records()) == 12, "what was learnt is no record"
    assert params(warm) != params(cold)
    # TPE draws its first ten trials at random unless it has learnt from others.
    assert warm.hypervolume() > cold.hypervolume()  # type: ignore[operator]


def test_a_resumed_study_goes_on_alike(finished: Study, tmp_path: Path) -> None:
    whole = begin(tmp_path / "whole", 8, (finished,))
    begin(tmp_path / "resumed", 3, (finished,))
    resumed = begin(tmp_path / "resumed", 8)
    assert params(resumed) == params(whole)
    assert params(begin(tmp_path / "resumed", 8, (finished,))) == params(whole), "the same again is allowed"


def test_a_begun_study_takes_no_others(finished: Study, tmp_path: Path) -> None:
    begin(tmp_path / "s", 2)
    with pytest.raises(ConfigError, match="was begun without these observations of --warm-start"):
        begin(tmp_path / "s", 4, (finished,))


def test_trials_that_are_no_points_of_the_space_are_counted(finished: Study, tmp_path: Path) -> None:
    data = Data(name=SPACE.dataset, root=tmp_path, fingerprint="simulated")
    other = simulate(tmp_path / "other", SPACE, TABLE, trials=10, sampler="random", seed=5).study
    commit(other, failed_record(10))
    narrow = override(SPACE, {"quantization": "fp32"})
    fits = sum(record.params["quantization"] == "fp32" for record in other.records()[:10])
    found = observations([other], narrow, data)
    assert (len(found.taken), found.skipped) == (fits, 11 - fits)
    assert all("quantization" not in one["params"] for one in found.taken)


def test_fixed_settings_compare_by_what_they_mean(finished: Study, tmp_path: Path) -> None:
    data = Data(name=SPACE.dataset, root=tmp_path, fingerprint="simulated")
    alike = override(SPACE, {"weights": "w.pth", "loss": {"triplet": 1, "softmax": 1}, "flip": 1})
    other = simulate(tmp_path / "other", alike, TABLE, trials=3, sampler="random").study
    assert len(observations([other], alike, data).taken) == 3
    assert len(observations([other], override(alike, {"flip": 0.25}), data).taken) == 0


def test_settings_that_came_after_a_record_were_as_by_default(finished: Study) -> None:
    record = finished.records()[0]
    old = dataclasses.replace(record, config={k: v for k, v in record.config.items() if k != "mixup"})
    assert params_of(old, SPACE, {}) is not None
    assert params_of(old, SPACE, {"mixup": 0.0}) == params_of(old, SPACE, {})
    assert params_of(old, SPACE, {"mixup": 0.5}) is None


def test_breaking_limits_of_the_other_study_is_no_fault(tmp_path: Path) -> None:
    data = Data(name=SPACE.dataset, root=tmp_path, fingerprint="simulated")
    values = {**SPACE.to_dict(), "limits": ["latency_ms <= 0.01"]}
    tight = simulate(
        tmp_path / "tight", parse_space(values, "tight"), TABLE, trials=3, sampler="random"
    ).study
    assert {record.status for record in tight.records()} == {"infeasible"}
    taken = observations([tight], SPACE, data).taken
    assert {one["status"] for one in taken} == {"complete"}
    # They ended before their accuracy was known, so they teach something only where they break a limit again.
    assert told_before(taken, ["mAP", "latency_ms"], []) == []
    again = Limit(metric="latency_ms", operator="<=", value=0.02)
    told = told_before(taken, ["mAP", "latency_ms"], [again])
    assert len(told) == 3
    assert all(one.constraints["other"] == 0 < one.constraints["latency_ms <= 0.02"] for one in told)


def test_other_objectives_targets_or_images_do_not_compare(finished: Study, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has files of the dataset 'simulated', not 'other'"):
        observations([finished], SPACE, Data(name=SPACE.dataset, root=tmp_path, fingerprint="other"))


def test_limits_are_those_of_the_new_study() -> None:
    taken = [{"params": {"knn": 2}, "status": "complete", "metrics": {"mAP": 0.5, "latency_ms": 3.0}}]
    limit = Limit(metric="latency_ms", operator="<=", value=2.0)
    (told,) = told_before(taken, ["mAP", "latency_ms"], [limit])
    assert told.values == {"mAP": 0.5, "latency_ms": 3.0}
    assert told.constraints["latency_ms <= 2"] == pytest.approx(0.5)


@pytest.mark.parametrize(("trusted", "excess"), [(True, 0.125), (False, 0.0), (None, 0.0)])
def test_a_latency_is_trusted_as_it_was(trusted: bool | None, excess: float) -> None:
    metrics = {"mAP": 0.5, "latency_ms": 9.0}
    one = {"params": {"knn": 2}, "status": "complete", "metrics": metrics, "latency_trusted": trusted}
    taken = [{key: value for key, value in one.items() if value is not None}]
    limit = Limit(metric="latency_ms", operator="<=", value=8.0)
    (told,) = told_before(taken, ["mAP", "latency_ms"], [limit])
    assert told.constraints["latency_ms <= 8"] == pytest.approx(excess)


def test_trust_is_copied(finished: Study, tmp_path: Path) -> None:
    data = Data(name=SPACE.dataset, root=tmp_path, fingerprint="simulated")
    assert all(one["latency_trusted"] for one in observations([finished], SPACE, data).taken)


def test_a_space_whose_fixed_settings_need_a_searched_one(tmp_path: Path) -> None:
    values = SPACE.to_dict()
    del values["fixed"]["prune_epochs"]
    values["fixed"] |= {"zero_epochs": 6}
    values["parameters"] |= {"prune_epochs": {"int": [8, 12]}}
    data = Data(name=SPACE.dataset, root=tmp_path, fingerprint="simulated")
    assert observations([], parse_space(values, "late"), data).taken == ()
