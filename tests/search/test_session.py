"""A search from start to end, its failures and its resumption, on fake trials."""

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import search.session
from reid.errors import ConfigError, DataError, ReidParetoError, ResourceError, StudyInUse
from results import Study, StudyLock, open_study
from search.execute import run_job
from search.jobs import Resources, Supply
from search.opening import Data
from spaces import Space
from tests.search.conftest import make_space, run_inline
from tests.search.fake_trial import figures

Run = Callable[..., Study]


@contextmanager
def killed_after(monkeypatch: pytest.MonkeyPatch, answers: int, running: int) -> Iterator[None]:
    """The driver vanishes after so many answers, with so many jobs handed out."""

    def run(supply: Supply, resources: Resources) -> None:
        for _ in range(answers):
            job = supply.take()
            assert job is not None
            supply.settle(job, run_job(job))
        for _ in range(running):
            assert supply.take() is not None
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(search.session, "run_jobs", run)
        with pytest.raises(KeyboardInterrupt):
            yield


def faults(monkeypatch: pytest.MonkeyPatch, **kinds: str) -> None:
    monkeypatch.setenv(
        "REID_PARETO_FAKE", json.dumps({name.strip("t"): kind for name, kind in kinds.items()})
    )


def test_a_search_commits_the_baseline_and_exactly_the_trials(run_search: Run, space: Space) -> None:
    study = run_search(6)
    assert [record.number for record in study.records()] == list(range(6))
    assert study.started() == ()
    baseline = study.baseline
    assert baseline is not None
    assert (baseline.config["method"], baseline.config["quantization"]) == ("none", "fp32")
    assert baseline.config["input_size"] == [128, 64]
    assert baseline.artifact == "artifacts/baseline"
    for record in study.records():
        assert record.status == "complete"
        assert record.attempt == 1
        assert all(space.parameters[name].contains(value) for name, value in record.params.items())
        assert record.config.items() >= record.params.items()
        assert record.metrics == figures(record.config)
        assert record.worker["pid"]
        stored = study.artifact(record.number) / "model.onnx"
        assert json.loads(stored.read_text()) == record.metrics
    assert pq.read_table(study.path / "trials.parquet").num_rows == 6
    assert not list((study.path / "work").iterdir())


def test_the_same_command_again_does_nothing(run_search: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_search(3).records()
    monkeypatch.setattr(search.session, "run_jobs", lambda *_: pytest.fail("ran again"))
    assert run_search(3).records() == before


def test_a_larger_budget_goes_on(run_search: Run) -> None:
    before = run_search(3).records()
    after = run_search(5).records()
    assert after[:3] == before
    assert len(after) == 5


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "grid"])
def test_an_interrupted_search_asks_what_an_uninterrupted_one_does(
    run_search: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sampler: str
) -> None:
    whole = run_search(18, sampler=sampler, path=tmp_path / "whole")
    with killed_after(monkeypatch, answers=7, running=1):
        run_search(18, sampler=sampler)
    with killed_after(monkeypatch, answers=8, running=0):
        run_search(18)
    resumed = run_search(18)
    assert [r.params for r in resumed.records()] == [r.params for r in whole.records()]


def test_interrupted_trials_keep_number_and_parameters(
    run_search: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with killed_after(monkeypatch, answers=3, running=2):
        run_search(6)
    study = open_study(tmp_path / "study")
    begun = {note.number: note.params for note in study.started()}
    assert set(begun) == {2, 3}
    done = run_search(6)
    assert [record.number for record in done.records()] == list(range(6))
    assert done.started() == ()
    for record in done.records():
        assert record.attempt == (2 if record.number in begun else 1)
        assert record.params == begun.get(record.number, record.params)


@pytest.mark.parametrize(
    ("fault", "status", "kind", "attempts"),
    [
        ("raise", "failed", "RuntimeError", 1),
        ("config", "failed", "ConfigError", 1),
        ("memory", "failed", "OutOfMemory", 2),
        ("python-memory", "failed", "OutOfMemory", 2),
        ("artifact", "infeasible", "ArtifactError", 1),
        ("nan", "failed", "bad_metric", 1),
        ("inf", "failed", "bad_metric", 1),
        ("text", "failed", "bad_metric", 1),
        ("missing", "failed", "bad_metric", 1),
        ("no-files", "failed", "ConfigError", 1),
        ("not-json", "failed", "TypeError", 1),
        ("bad-stage", "failed", "bad_outcome", 1),
    ],
)
def test_each_kind_of_failure(
    run_search: Run, monkeypatch: pytest.MonkeyPatch, fault: str, status: str, kind: str, attempts: int
) -> None:
    """T1, T2: a failed trial is committed, never on the front, and the others go on."""
    faults(monkeypatch, t1=fault)
    study = run_search(4)
    bad = study.record(1)
    assert bad.error is not None
    assert (bad.status, bad.error["kind"], bad.attempt) == (status, kind, attempts)
    assert "\n" not in bad.error["message"]
    assert "\x1b" not in bad.error["message"]
    assert bad.artifact is None
    assert [record.status for record in study.records() if record.number != 1] == ["complete"] * 3
    assert 1 not in {record.number for record in study.front()}
    assert all(math.isfinite(value) for record in study.front() for value in record.metrics.values())


def test_a_passing_failure_is_tried_again(run_search: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_PARETO_FAKE", json.dumps({"1-1": "memory"}))
    record = run_search(3).record(1)
    assert (record.status, record.attempt) == ("complete", 2)


def test_an_untrusted_latency_stays_off_the_front(run_search: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    faults(monkeypatch, t0="untrusted", t1="untrusted")
    study = run_search(3)
    assert [record.number for record in study.front()] == [2]


def test_a_data_error_stops_the_study_and_resumes(run_search: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    faults(monkeypatch, t2="data")
    with pytest.raises(DataError, match=r"trial 2: query/0001\.jpg cannot be decoded"):
        run_search(6)
    monkeypatch.delenv("REID_PARETO_FAKE")
    study = run_search(6)
    assert len(study.records()) == 6
    assert study.record(2).attempt == 2


@pytest.mark.parametrize(
    ("fault", "error"), [("config", ConfigError), ("memory", ResourceError), ("nan", ConfigError)]
)
def test_a_failed_baseline_stops_the_study(
    run_search: Run, monkeypatch: pytest.MonkeyPatch, fault: str, error: type[ReidParetoError]
) -> None:
    monkeypatch.setenv("REID_PARETO_FAKE", json.dumps({"-1": fault}))
    with pytest.raises(error, match="the dense baseline: "):
        run_search(2)
    monkeypatch.delenv("REID_PARETO_FAKE")
    assert len(run_search(2).records()) == 2


def test_limits_are_relative_to_the_baseline(run_search: Run) -> None:
    limits = ["latency_ms <= 0.2 * baseline", "mAP >= baseline - 0.2"]
    study = run_search(12, space=make_space(limits=limits))
    assert study.baseline is not None
    bound = 0.2 * study.baseline.metrics["latency_ms"]
    statuses = {record.status for record in study.records()}
    assert statuses == {"complete", "infeasible"}
    for record in study.records():
        over = record.metrics["latency_ms"] - bound
        assert (record.status == "infeasible") == (over > 0 or bool(record.violations))
        if over > 0:
            assert record.violations[f"latency_ms <= {bound:g}"] == pytest.approx(over)
        else:
            low = study.baseline.metrics["mAP"] - 0.2 - record.metrics["mAP"]
            assert (record.status == "infeasible") == (low > 0)
    assert all(record.status == "complete" for record in study.front())


def test_a_wider_space_goes_on_and_a_narrower_one_is_refused(run_search: Run) -> None:
    run_search(3)
    wider = make_space().to_dict()["parameters"]
    wider["prune_rate"] = {"float": [0.2, 0.95]}
    wider["quantization"] = {"choice": ["int8-static", "fp32", "bf16"]}
    assert len(run_search(5, space=make_space(parameters=wider)).records()) == 5
    narrower = {**wider, "prune_rate": {"float": [0.4, 0.9]}}
    with pytest.raises(ConfigError, match=r"parameters\.prune_rate.*only wider is possible"):
        run_search(6, space=make_space(parameters=narrower))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"fixed": {"backbone": "osnet_x0_25", "method": "bafd"}}, "fixed.backbone"),
        ({"fixed": {"backbone": "resnet18", "method": "bafd", "epochs": 3}}, "fixed.epochs"),
        ({"objectives": {"rank1": "maximize", "latency_ms": "minimize"}}, "objectives"),
        ({"limits": ["latency_ms <= 3"]}, "limits"),
        ({"target": {"threads": 2}}, "target"),
        ({"parameters": {"prune_rate": {"float": [0.3, 0.9]}}}, "parameters.decay_rate"),
    ],
)
def test_another_space_is_refused_by_name(run_search: Run, changes: dict[str, Any], named: str) -> None:
    run_search(1)
    with pytest.raises(ConfigError, match=named):
        run_search(2, space=make_space(**changes))


def test_another_dataset_or_seed_is_refused(run_search: Run, tmp_path: Path) -> None:
    run_search(1)
    with pytest.raises(ConfigError, match="files of the dataset"):
        run_search(2, data=Data(name="synthetic", root=tmp_path, fingerprint="other"))
    with pytest.raises(ConfigError, match=r"dataset synthetic, but .* holds market1501"):
        run_search(2, data=Data(name="market1501", root=tmp_path, fingerprint="fake"))
    with pytest.raises(ConfigError, match="seed 0, not 7"):
        run_search(2, seed=7)


def test_a_trial_outside_the_space_is_named(run_search: Run) -> None:
    """A space widened once cannot go back below what was searched."""
    wide = make_space().to_dict()["parameters"]
    run_search(1)
    wide["prune_rate"] = {"float": [0.0, 0.95]}
    study = run_search(30, space=make_space(parameters=wide), sampler="random")
    outside = [r for r in study.records() if not 0.3 <= r.params["prune_rate"] <= 0.9]
    assert outside
    with pytest.raises(ConfigError, match=f"trial {outside[0].number} of the study has prune_rate="):
        run_search(31)


def test_requests_that_cannot_work_are_refused_before_anything_is_made(
    run_search: Run, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--trials must be at least 1, got 0"):
        run_search(0)
    with pytest.raises(
        ConfigError, match=r"unknown name in parameters .*'prune_rat'; did you mean prune_rate\?"
    ):
        run_search(1, space=make_space(parameters={"prune_rat": {"float": [0, 1]}}))
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"sampler": "grid", "space": make_space(parameters={"knn": {"int": [2, 3]}})},
            "has 2 points; lower",
        ),
        ({"data": Data(name="market1501", root=Path(), fingerprint="fake")}, "holds market1501"),
        ({"seed": -1}, "--seed must be 0 to 4294967295, got -1"),
        ({"seed": 2**32}, "--seed must be 0 to 4294967295"),
        ({"sampler": "tpee"}, "unknown sampler 'tpee'; did you mean tpe?"),
    ],
)
def test_a_refused_search_leaves_no_study_behind(
    run_search: Run, wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        run_search(3, **wrong)
    assert not (tmp_path / "study").exists()


def test_a_folder_that_holds_other_things_stays_as_it_is(run_search: Run, tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "package.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"not empty \(package\.json\) and no study"):
        run_search(1)
    assert [entry.name for entry in (tmp_path / "study").iterdir()] == ["package.json"]


def test_a_grid_ends(run_search: Run) -> None:
    small = make_space(
        parameters={"knn": {"int": [2, 3]}, "quantization": {"choice": ["fp32", "int8-static"]}}
    )
    with pytest.raises(ConfigError, match="the grid of this space has 4 points"):
        run_search(5, space=small, sampler="grid")
    study = run_search(4, space=small, sampler="grid")
    points = {(r.params["knn"], r.params["quantization"]) for r in study.records()}
    assert points == {(2, "fp32"), (3, "fp32"), (2, "int8-static"), (3, "int8-static")}


def test_a_grid_leaves_out_what_other_studies_tried(run_search: Run, tmp_path: Path) -> None:
    small = make_space(
        parameters={"knn": {"int": [2, 3]}, "quantization": {"choice": ["fp32", "int8-static"]}}
    )
    first = run_search(2, space=small, sampler="grid", path=tmp_path / "first")
    given = {"space": small, "sampler": "grid", "warm_start": [first]}
    with pytest.raises(ConfigError, match="has 2 points that were not tried; lower --trials to 2"):
        run_search(3, **given)
    assert not (tmp_path / "study").exists()
    study = run_search(2, **given)
    assert len({json.dumps(record.params) for record in (*first.records(), *study.records())}) == 4
    with pytest.raises(ConfigError, match="has 0 points that were not tried; lower --trials to 2"):
        run_search(3, space=small)


def test_a_held_study_is_refused(run_search: Run, tmp_path: Path) -> None:
    run_search(1)
    with StudyLock(tmp_path / "study"), pytest.raises(StudyInUse, match="is in use by process"):
        run_search(2)


def test_stopping_leaves_a_study_that_resumes(run_search: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop_after_two(supply: Any, resources: Resources) -> None:
        jobs = 0
        while not supply.finished:
            job = supply.take()
            jobs += 1
            supply.stopping = jobs == 3
            supply.settle(job, run_job(job))

    monkeypatch.setattr(search.session, "run_jobs", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        run_search(6)
    monkeypatch.setattr(search.session, "run_jobs", run_inline)
    study = run_search(6)
    assert [record.attempt for record in study.records()] == [1] * 6
