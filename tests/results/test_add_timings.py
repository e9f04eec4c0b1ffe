"""Timings of another machine: `bench --json` there, `add-timings` and `front --target` here."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from reid.errors import ConfigError, UnverifiedError
from reid.files import sha256_of
from results import Study, commit, commit_artifact
from search.commands.add_timings import add_timings
from search.commands.front import front
from tests.results.conftest import trial, write_network

app = typer.Typer()
for command in (add_timings, front):
    app.command()(command)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


@pytest.fixture
def answer(network: Path) -> dict[str, Any]:
    """What `bench --json` prints about the network that every trial of the study has."""
    row = {"package": "packages/small", "runtime": "onnxruntime", "latency_ms": 41.5, "ratio": None}
    return {
        "target": {"device": "cpu", "threads": 1, "batch": 1},
        "host": "Phone-7",
        "cpu": "Cortex-A76",
        "timed_at": "2026-11-21T08:00:00.000+00:00",
        "trusted": True,
        "reason": None,
        "kernel_drift": 0.01,
        "packages": [
            {**row, "model_sha256": sha256_of(network / "model.onnx"), "samples_ms": [[41.0, 42.0]]}
        ],
    }


def written(folder: Path, answer: object) -> Path:
    path = folder / "phone.json"
    path.write_text(json.dumps(answer))
    return path


def files(study: Study) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (study.path / "trials").iterdir()}


def test_figures_are_merged_shown_and_records_stay(
    study: Study, answer: dict[str, Any], tmp_path: Path
) -> None:
    before = files(study)
    assert call("add-timings", study.path, written(tmp_path, answer)).exception is None
    after = files(study)
    assert {name: after[name] for name in before} == before
    fact = study.fact(3, "timingphone")
    assert fact is not None
    assert (fact["latency_ms"], fact["cpu"]) == (41.5, "Cortex-A76")
    assert study.fact(6, "timingphone") is None  # it has no network
    shown = json.loads(call("front", study.path, "--json", "--target", "phone").stdout)["front"]
    assert shown
    assert {one["metrics"]["latency_phone_ms"] for one in shown} == {41.5}
    assert "41.5 ms" in call("front", study.path, "--target", "phone").stdout
    assert "latency_phone_ms" in call("front", study.path, "--csv", "--target", "phone").stdout
    assert "41.5" not in call("front", study.path).stdout


def test_the_next_command_holds_where_a_path_has_spaces(
    study: Study, answer: dict[str, Any], tmp_path: Path
) -> None:
    place = study.path.rename(tmp_path / "a study")
    said = call("add-timings", place, written(tmp_path, answer)).stdout
    assert f"reid-pareto front '{place}' --target phone" in said


def test_the_same_file_again_changes_nothing(study: Study, answer: dict[str, Any], tmp_path: Path) -> None:
    file = written(tmp_path, answer)
    call("add-timings", study.path, file)
    before = files(study)
    again = call("add-timings", study.path, file)
    assert again.exception is None
    assert "0 added" in again.stdout
    assert files(study) == before


def test_another_figure_of_the_same_name_is_refused(
    study: Study, answer: dict[str, Any], tmp_path: Path
) -> None:
    call("add-timings", study.path, written(tmp_path, answer))
    answer["packages"][0]["latency_ms"] = 39.0
    other = written(tmp_path, answer)
    refused = call("add-timings", study.path, other).exception
    assert isinstance(refused, ConfigError)
    assert "give --name another name" in str(refused)
    assert call("add-timings", study.path, other, "--name", "second").exception is None


@pytest.mark.parametrize(
    "change", [{"host": "Phone-8"}, {"target": {"device": "cpu", "threads": 4, "batch": 1}}]
)
def test_another_machine_of_the_same_name_is_refused(
    study: Study, answer: dict[str, Any], tmp_path: Path, change: dict[str, Any]
) -> None:
    """Names keep letters only, so phone-7 and phone-8 would be one."""
    call("add-timings", study.path, written(tmp_path, answer))
    before = files(study)
    refused = call("add-timings", study.path, written(tmp_path, answer | change)).exception
    assert isinstance(refused, ConfigError)
    assert f"'phone' names timings of another {next(iter(change))} already" in str(refused)
    assert files(study) == before


def test_runtimes_are_told_apart(study: Study, answer: dict[str, Any], tmp_path: Path) -> None:
    (row,) = answer["packages"]
    call("add-timings", study.path, written(tmp_path, answer))
    before = files(study)
    other = {**answer, "packages": [{**row, "runtime": "torchscript"}]}
    refused = call("add-timings", study.path, written(tmp_path, other)).exception
    assert isinstance(refused, ConfigError)
    assert "'phone' names timings of another runtime already" in str(refused)
    assert files(study) == before


def test_a_network_that_was_timed_twice_is_refused(
    study: Study, answer: dict[str, Any], tmp_path: Path
) -> None:
    (row,) = answer["packages"]
    answer["packages"].append({**row, "runtime": "torchscript", "package": "packages/script"})
    before = files(study)
    refused = call("add-timings", study.path, written(tmp_path, answer)).exception
    assert isinstance(refused, ConfigError)
    assert "packages/script and another of its packages hold the network of trial" in str(refused)
    assert files(study) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trusted": False, "reason": "drift"}, "not trusted (drift)"),
        ({"host": "123"}, "give --name"),
        ({"packages": []}, "is not what bench --json"),
        ({"packages": [{"model_sha256": "ab"}]}, "is not what bench --json"),
    ],
)
def test_what_is_no_answer_is_refused_unwritten(
    study: Study, answer: dict[str, Any], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    before = files(study)
    refused = call("add-timings", study.path, written(tmp_path, answer | change)).exception
    assert isinstance(refused, ConfigError)
    assert said in str(refused)
    assert files(study) == before


def test_a_package_of_another_study_is_refused_and_nothing_of_the_file_merged(
    study: Study, answer: dict[str, Any], tmp_path: Path
) -> None:
    before = files(study)
    answer["packages"].append({**answer["packages"][0], "package": "strange", "model_sha256": "ab" * 32})
    refused = call("add-timings", study.path, written(tmp_path, answer)).exception
    assert isinstance(refused, ConfigError)
    assert "strange is not of the study" in str(refused)
    assert files(study) == before


@pytest.mark.parametrize("related", [True, False])
def test_an_altered_network_is_refused_where_it_was_timed_and_nowhere_else(
    study: Study, answer: dict[str, Any], tmp_path: Path, related: bool
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_network(other / "model.onnx", seed=1)
    commit_artifact(study, 9, other)
    commit(study, trial(9, 0.5, 9.0))
    model = study.path / f"artifacts/00000{5 if related else 9}/model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    before = files(study)
    done = call("add-timings", study.path, written(tmp_path, answer))
    if related:
        assert isinstance(done.exception, UnverifiedError)
        assert files(study) == before
    else:
        assert done.exception is None
        assert study.fact(5, "timingphone") is not None


def test_a_name_that_nothing_was_merged_under(study: Study) -> None:
    refused = call("front", study.path, "--target", "phone").exception
    assert isinstance(refused, ConfigError)
    assert "merge one with add-timings" in str(refused)


def test_a_trial_off_the_front_is_told_and_no_command_that_fails(
    study: Study, answer: dict[str, Any], tmp_path: Path
) -> None:
    """Also a network that pick gave by its number may be timed."""
    other = tmp_path / "other"
    other.mkdir()
    write_network(other / "model.onnx", seed=1)
    commit_artifact(study, 9, other)
    commit(study, trial(9, 0.5, 9.0))
    answer["packages"][0]["model_sha256"] = sha256_of(other / "model.onnx")
    said = call("add-timings", study.path, written(tmp_path, answer)).stdout
    assert said == "1 added, 0 there already\ntrial 9, not on the front, takes 41.5 ms\n"
    refused = call("front", study.path, "--target", "phone").exception
    assert isinstance(refused, ConfigError)
    assert "named 'phone'; trial 9, not on the front, takes 41.5 ms" in str(refused)


def test_the_command_that_is_advised_works(study: Study, answer: dict[str, Any], tmp_path: Path) -> None:
    said = call("add-timings", study.path, written(tmp_path, answer), "--name", "phone").stdout
    advised = said.splitlines()[0].split("reid-pareto ")[1]
    assert call(*advised.split()).exception is None
    assert "the baseline, not on the front, takes 41.5 ms" in said


def test_a_remote_study_is_refused() -> None:
    done = CliRunner().invoke(app, ["add-timings", "s3://bucket/study", "phone.json"])
    assert isinstance(done.exception, ConfigError)
    assert "timings are merged into a local study" in str(done.exception)
