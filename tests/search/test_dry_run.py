"""The rehearsal of a search: it refuses what the search would, and estimates what it would train."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reid.config import TrialConfig
from reid.data import load_dataset, split_validation
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.errors import ConfigError
from reid.outcome import StageReport, TrialOutcome
from results import commit
from search import dry_run
from search.cli import app
from search.opening import Data, open_or_create
from search.planner import trial_config
from spaces import Space, load, parse_space
from tests.results.samples import make_record
from tests.search.conftest import make_space


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = SyntheticOptions(identities=12, test_identities=3, images_per_camera=2)
    return prepare_synthetic(options, tmp_path_factory.mktemp("data") / "people").root


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("something was tried")

    monkeypatch.setattr(dry_run, "dry_run", never)


def rehearse(root: Path, study: Path, *options: str) -> None:
    arguments = ["search", "--dry-run", "--trials", "4", "--data", str(root), "--study", str(study), *options]
    done = CliRunner().invoke(app, arguments)
    assert done.exception is not None, done.output
    raise done.exception


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sampler", "tpee"), "unknown sampler 'tpee'; did you mean tpe"),
        (("--seed", "-1"), "--seed must be 0 to"),
        (("--sampler", "grid", "--trials", "100000"), "points; lower --trials"),
        (
            ("--gpus-per-trial", "1.5"),
            "--gpus-per-trial must be a share of 0 to 1 or a whole number, got 1.5",
        ),
        (("--stage-limit-s", "-3"), "--stage-limit-s must be above 0, got -3"),
        (("--warm-start", "/nonexistent"), "/nonexistent"),
    ],
)
def test_what_the_search_refuses_is_refused(
    options: tuple[str, ...], said: str, root: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        rehearse(root, tmp_path / "study", *options)


def test_a_study_of_another_space_is_refused(root: Path, tmp_path: Path) -> None:
    data = Data(name="synthetic", root=root, fingerprint=load_dataset("synthetic", root).fingerprint)
    open_or_create(tmp_path / "study", make_space(), data, seed=None, sampler=None)
    with pytest.raises(ConfigError, match=r"was begun with .*; name a new study"):
        rehearse(root, tmp_path / "study", "--space", "demo")


def test_what_a_begun_study_does_not_take_is_refused(root: Path, tmp_path: Path) -> None:
    data = Data(name="synthetic", root=root, fingerprint=load_dataset("synthetic", root).fingerprint)
    few = make_space(parameters={"quantization": {"choice": ["fp32", "int8-static"]}})
    file = tmp_path / "few.yaml"
    file.write_text(json.dumps(few.to_dict()))  # which is YAML too
    begun = open_or_create(tmp_path / "study", few, data, seed=None, sampler="grid")
    with pytest.raises(ConfigError, match=r"grid of this space has \d points; lower --trials"):
        rehearse(root, tmp_path / "study", "--space", str(file), "--trials", "100")
    params = {"quantization": "fp32"}
    commit(begun, make_record(0, params=params, config=trial_config(few, params).to_dict()))
    with pytest.raises(ConfigError, match="was begun without these observations of --warm-start"):
        rehearse(
            root, tmp_path / "study", "--space", str(file), "--trials", "1", "--warm-start", str(begun.path)
        )
    sizes = make_space(objectives={"mAP": "maximize", "size_bytes": "minimize"})
    other = open_or_create(tmp_path / "other", sizes, data, seed=None, sampler=None)
    with pytest.raises(ConfigError, match=r"--warm-start .*other has"):
        rehearse(root, tmp_path / "new", "--space", str(file), "--warm-start", str(other.path))


def test_a_folder_of_other_things_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match="and no study; name a new or empty folder"):
        rehearse(root, root)


@pytest.mark.parametrize(("method", "counted"), [("none", False), ("hfp", True)])
def test_only_pruned_trials_finetune(method: str, counted: bool, root: Path) -> None:
    demo: dict[str, Any] = load("demo").to_dict()
    demo["parameters"] = {"quantization": demo["parameters"]["quantization"]}
    demo["fixed"] |= {"method": method, "prune_rate": 0.5}
    curve = ({"stage": "dense", "images_per_second": 10.0},)
    stage = StageReport(name="export", key="", seconds=1.0, cpu_seconds=1.0, cached=False)
    outcome = TrialOutcome(status="complete", metrics={}, curves=curve, stages=(stage,))

    def hours(epochs: int) -> float:
        space = parse_space({**demo, "fixed": {**demo["fixed"], "finetune_epochs": epochs}}, "demo")
        dataset = load_dataset("synthetic", root)
        return dry_run.estimate(space, dataset, dataset, 8, [outcome, outcome], 0).hours

    assert (hours(50) > hours(0)) == counted


def tiny(rate: float, *stages: StageReport) -> TrialOutcome:
    curves = ({"stage": "dense", "images_per_second": rate},) if rate else ()
    return TrialOutcome(status="complete", metrics={}, curves=curves, stages=stages)


def stage(name: str, seconds: float, *, cached: bool = False) -> StageReport:
    return StageReport(name=name, key="", seconds=seconds, cpu_seconds=seconds, cached=cached)


def test_the_rate_is_that_of_the_largest_size(root: Path) -> None:
    """The trial of the dry run has the last size of the list, and is quicker where that is smaller."""
    space = make_space(fixed={"method": "none", "epochs": 10}, parameters={
        "input_size": {"choice": [[128, 64], [64, 32]]},
    })  # fmt: skip
    dataset = load_dataset("synthetic", root)
    images = len(split_validation(dataset, TrialConfig.from_dict({}).validation_share, 0).train)

    def found(first: float, second: float, space: Space = space) -> dry_run.Estimate:
        return dry_run.estimate(space, dataset, dataset, 4, [tiny(first), tiny(second)], 0)

    assert found(20.0, 60.0).images_per_second == 20
    assert found(20.0, 60.0).hours == pytest.approx((10 * images + 10 * images / 4) / 20 / 3600)
    # Without a training of the baseline, a quarter of what the small images reach.
    assert found(0.0, 60.0).images_per_second == 15
    assert found(0.0, 0.0).hours == 0


def test_a_teacher_is_asked_about_every_image_once(root: Path) -> None:
    dataset = load_dataset("synthetic", root)
    few = dataclasses.replace(dataset, train=dataset.train[: len(dataset.train) // 2])
    fixed = {"method": "none", "epochs": 0, "teacher": "teacher.onnx", "loss": "softmax+distill-similarity"}
    space = make_space(fixed=fixed, parameters={"input_size": {"choice": [[128, 64], [64, 32]]}})
    share = TrialConfig.from_dict({}).validation_share
    images = len(split_validation(dataset, share, 0).train)
    tiny_images = len(split_validation(few, dry_run._TINY["validation_share"], 0).train)
    assert tiny_images < images
    asked = tiny(0.0, stage("teach", 3.0))
    cached = tiny(0.0, stage("teach", 0.0, cached=True), stage("export", 2.0))
    hours = dry_run.estimate(space, dataset, few, 4, [asked, cached], 0).hours
    assert hours * 3600 == pytest.approx(3 * images / tiny_images + 4 * 2)


@pytest.mark.parametrize(("searched", "lessons"), [("erasing", 1 + 4), ("learning_rate", 1)])
def test_other_variants_need_another_lesson(searched: str, lessons: int, root: Path) -> None:
    dataset = load_dataset("synthetic", root)
    fixed = {
        "method": "none", "epochs": 0, "teacher": "teacher.onnx", "loss": "softmax+distill-similarity",
        "teacher_view": "drawn",
    }  # fmt: skip
    space = make_space(fixed=fixed, parameters={searched: {"float": [0.1, 0.5]}})
    tiny_images = len(split_validation(dataset, dry_run._TINY["validation_share"], 0).train)
    images = len(split_validation(dataset, TrialConfig.from_dict({}).validation_share, 0).train)
    outcomes = [tiny(0.0, stage("teach", 3.0)), tiny(0.0, stage("teach", 0.0, cached=True))]
    hours = dry_run.estimate(space, dataset, dataset, 4, outcomes, 0).hours
    assert hours * 3600 == pytest.approx(lessons * 3 * images / tiny_images)


@pytest.mark.parametrize("trials", [1, 10])
def test_int8_qat_trains_and_teaches_in_every_trial(trials: int, root: Path) -> None:
    dataset = load_dataset("synthetic", root)
    fixed = {"method": "none", "epochs": 0, "quantization": "int8-qat", "qat_epochs": 3}
    space = make_space(fixed=fixed, parameters={"input_size": {"choice": [[128, 64]]}})
    tiny_images = len(split_validation(dataset, dry_run._TINY["validation_share"], 0).train)
    images = len(split_validation(dataset, TrialConfig.from_dict({}).validation_share, 0).train)
    outcomes = [tiny(20.0), tiny(20.0, stage("teach", 3.0))]
    hours = dry_run.estimate(space, dataset, dataset, trials, outcomes, 0).hours
    assert hours * 3600 == pytest.approx(trials * (3 * images / 20 + 3 * images / tiny_images))
