"""The commands that read a study or a package, on real ONNX files through the real runtime."""

import json
from pathlib import Path

import onnx
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from reid.errors import ConfigError, NothingFeasible, UnverifiedError
from reid.export.metadata import write_metadata
from reid.export.spec import InputSpec
from reid.files import read_json
from results import Study
from search.commands.bench import bench
from search.commands.pick import parse_limits, pick
from search.commands.report import report
from search.commands.verify import verify

app = typer.Typer()
for command in (pick, verify, report, bench):
    app.command()(command)


@pytest.fixture
def network(network: Path) -> Path:
    """The same network with the input specification inside, as an export leaves it."""
    path = network / "model.onnx"
    model = onnx.load(path)
    write_metadata(model, InputSpec.from_dict(read_json(network / "input_spec.json")), "fp32")
    onnx.save(model, path)
    return network


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


def test_pick_then_verify_then_bench(study: Study, tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    picked = call("pick", study.path, "--max", "latency_ms=5.5", "--out", large)
    assert picked.exception is None
    assert "Trial 3 has the highest mAP" in picked.stdout
    assert "mAP 78.0 %, latency_ms 5 ms, rank1 88.0 %" in picked.stdout
    assert "next: trial 5, mAP 0.74 (-0.04), latency_ms 3 (-2)" in picked.stdout
    assert "without latency_ms <= 5.5: trial 0, mAP 0.8 (+0.02), latency_ms 8 (+3)" in picked.stdout
    assert f"reid-pareto verify {large}" in picked.stdout
    as_json = call("pick", study.path, "--trial", 5, "--out", small, "--json")
    assert json.loads(as_json.stdout)["trial"] == 5
    verified = json.loads(call("verify", small, "--json").stdout)
    assert verified["min_cosine"] == pytest.approx(1, abs=1e-6)
    assert len(verified["files"]) == 7
    assert "is as it was packed: 7 files" in call("verify", large).stdout
    timed = json.loads(call("bench", large, small, "--json").stdout)
    assert timed["target"] == {"runtime": "onnxruntime", "device": "cpu", "threads": 1, "batch": 1}
    first, second = timed["packages"]
    assert first["ratio"] is None
    assert second["ratio"] == pytest.approx(second["latency_ms"] / second["reference_ms"])


def test_bench_shows_a_row_for_each(study: Study, tmp_path: Path) -> None:
    call("pick", study.path, "--out", tmp_path / "one")
    shown = call("bench", tmp_path / "one")
    assert shown.exception is None
    assert "latency on runtime onnxruntime, device cpu, threads 1, batch 1" in shown.stdout
    assert "median ms" in shown.stdout


@pytest.mark.parametrize("command", ["verify", "bench"])
def test_altered_package_is_refused(study: Study, tmp_path: Path, command: str) -> None:
    package = tmp_path / "package"
    call("pick", study.path, "--out", package)
    path = package / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    refused = call(command, package)
    assert isinstance(refused.exception, UnverifiedError)
    assert refused.exception.exit_code == 6
    assert refused.stdout == ""


def test_altered_artifact_is_refused_by_pick(study: Study, tmp_path: Path) -> None:
    path = study.path / "artifacts" / "000005" / "model.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    refused = call("pick", study.path, "--out", tmp_path / "package")
    assert isinstance(refused.exception, UnverifiedError)
    assert not (tmp_path / "package").exists()


def test_nothing_within_the_limits_makes_nothing(study: Study, tmp_path: Path) -> None:
    refused = call("pick", study.path, "--max", "latency_ms=1", "--out", tmp_path / "package")
    assert isinstance(refused.exception, NothingFeasible)
    assert "nearest: trial 8 (latency_ms over by 1.5)" in str(refused.exception)
    assert not (tmp_path / "package").exists()


def test_report_and_picture(study: Study, tmp_path: Path) -> None:
    made = call("report", study.path, "--out", tmp_path / "report.html", "--png", tmp_path / "front.png")
    assert made.exception is None
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
    assert (tmp_path / "front.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("command", [pick, verify, report, bench])
def test_help_shows_an_example(command: object) -> None:
    name = getattr(command, "__name__")  # noqa: B009
    assert f"Example: reid-pareto {name}" in " ".join(call(name, "--help").stdout.split())


def test_limits_are_read_or_refused() -> None:
    assert parse_limits(["latency_ms=5", " mAP = .7 "], "--max") == {"latency_ms": 5.0, "mAP": 0.7}
    for texts in (["latency_ms"], ["latency_ms=fast"], ["latency_ms=5ms"]):
        with pytest.raises(ConfigError, match="--max takes METRIC=VALUE"):
            parse_limits(texts, "--max")
    with pytest.raises(ConfigError, match="given twice"):
        parse_limits(["mAP=1", "mAP=0.5"], "--min")
