"""The main job as a user does it: search, status, front, report, pick, verify, evaluate, run the package."""

import csv
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import Cli

pytestmark = [pytest.mark.e2e, pytest.mark.ray]

TRIALS = 4


@pytest.fixture(scope="module")
def study(cli: Cli, data: Path, space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("studies") / "tiny"
    done = cli("search", "--space", space, "--data", data, "--study", path, "--trials", TRIALS, timeout_s=900)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def package(cli: Cli, study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packages") / "picked"
    done = cli("pick", study, "--trial", _a_trial(cli, study), "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def _answer(cli: Cli, *arguments: object) -> object:
    done = cli(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _records(study: Path) -> list[dict[str, object]]:
    names = sorted(p for p in (study / "trials").iterdir() if p.stem.isdigit() and p.suffix == ".json")
    return [json.loads(name.read_text()) for name in names]


def _a_trial(cli: Cli, study: Path) -> int:
    """A complete trial; its latency need not be trusted, for the machine of a test is not quiet."""
    complete = [r["number"] for r in _records(study) if r["status"] == "complete"]
    assert complete
    return int(str(complete[0]))


def test_every_trial_is_committed_once_and_was_real(study: Path) -> None:
    records = _records(study)
    assert [r["number"] for r in records] == list(range(TRIALS))
    for record in records:
        assert record["status"] in ("complete", "infeasible")
        assert {"mAP", "rank1", "latency_ms", "size_bytes", "macs", "params"} <= set(record["metrics"])
        assert record["checks"]["slim_max_abs_difference"] <= 1e-4
        assert record["checks"]["parity_min_cosine"] >= 0.999
        assert [row["stage"] for row in record["curves"]] == ["dense", "prune", "finetune"]
        assert (study / record["artifact"] / "model.onnx").is_file()


def test_the_table_is_that_of_the_records(study: Path) -> None:
    table = pq.read_table(study / "trials.parquet").to_pylist()
    assert [row["number"] for row in table] == [r["number"] for r in _records(study)]


def test_stages_are_shared(study: Path) -> None:
    dense = [s for r in _records(study) for s in r["stages"] if s["name"] == "dense"]
    assert len({s["key"] for s in dense}) == 2, "one dense network per input size"
    assert sum(not s["cached"] for s in dense) <= 2


def test_the_same_command_resumes_and_runs_nothing_twice(
    cli: Cli, data: Path, space: Path, study: Path
) -> None:
    before = {p: p.read_bytes() for p in (study / "trials").glob("??????.json")}
    done = cli("search", "--space", space, "--data", data, "--study", study, "--trials", TRIALS)
    assert done.returncode == 0, done.stderr
    assert {p: p.read_bytes() for p in (study / "trials").glob("??????.json")} == before


def test_a_narrower_space_is_refused(cli: Cli, data: Path, space: Path, study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(space.read_text().replace("[0.3, 0.9]", "[0.5, 0.6]"))
    done = cli("search", "--space", other, "--data", data, "--study", study, "--trials", TRIALS)
    assert done.returncode == 2
    assert "prune_rate" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_and_front(cli: Cli, study: Path) -> None:
    status = _answer(cli, "status", study)
    assert isinstance(status, dict)
    assert cli("status", study).returncode == 0
    front = _answer(cli, "front", study)
    assert front is not None
    done = cli("front", study, "--csv")
    assert done.returncode == 0
    assert next(csv.reader(io.StringIO(done.stdout)))


def test_report(cli: Cli, study: Path, tmp_path: Path) -> None:
    page, picture = tmp_path / "report.html", tmp_path / "front.png"
    done = cli("report", study, "--out", page, "--png", picture)
    assert done.returncode == 0, done.stderr
    assert "Content-Security-Policy" in page.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_pick_with_limits_that_nothing_meets(cli: Cli, study: Path, tmp_path: Path) -> None:
    done = cli("pick", study, "--max", "latency_ms=0.000001", "--out", tmp_path / "p")
    assert done.returncode == 7
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "p").exists()


def test_package_verifies_and_a_changed_byte_does_not(cli: Cli, package: Path, tmp_path: Path) -> None:
    import shutil

    assert cli("verify", package).returncode == 0
    damaged = shutil.copytree(package, tmp_path / "damaged")
    model = damaged / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    done = cli("verify", damaged)
    assert done.returncode == 6
    assert "model.onnx" in done.stderr


def test_the_example_in_the_package_needs_nothing_of_ours(package: Path, data: Path) -> None:
    query = sorted((data / "query").glob("*.jpg"))
    code = (
        "import sys, runpy\n"
        "for name in ('reid', 'results', 'search', 'spaces', 'torch', 'ray'): sys.modules[name] = None\n"
        f"sys.argv = ['embed.py', {str(query[0])!r}, {str(query[-1])!r}]\n"
        "runpy.run_path('embed.py', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=package, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert -1.0 <= float(done.stdout.split()[-1]) <= 1.0


def test_evaluate_the_package_on_the_test_split(cli: Cli, package: Path, data: Path) -> None:
    result = _answer(cli, "evaluate", package, "--data", data)
    assert isinstance(result, dict)
    assert result["split"] == "test"
    assert 0 < result["mAP"] <= 1
    assert "protocol" in result


def test_bench_times_packages_in_turns(cli: Cli, package: Path) -> None:
    assert _answer(cli, "bench", package, package)


def test_train_and_trial_leave_what_can_be_evaluated(
    cli: Cli, data: Path, space: Path, tmp_path: Path
) -> None:
    base = ["--space", space, "--data", data, "--set", "input_size=[48, 32]", "--set", "prune_rate=0.5"]
    one = _answer(
        cli, "trial", *base, "--set", "quantization=fp32", "--set", "scope=inner", "--out", tmp_path / "t"
    )
    assert isinstance(one, dict)
    assert one["status"] == "complete"
    held_out = ["--split", "validation", "--validation-share", 0.3]
    result = _answer(cli, "evaluate", tmp_path / "t", "--data", data, *held_out)
    assert isinstance(result, dict)
    assert result["mAP"] == pytest.approx(one["metrics"]["mAP"], abs=1e-6)


def test_doctor(cli: Cli) -> None:
    found = _answer(cli, "doctor")
    assert isinstance(found, dict)
    assert "onnxruntime" in found["runtimes"]
    assert ("openvino" in found["runtimes"]) == (importlib.util.find_spec("openvino") is not None)
    assert found["timing_lock"] == "works"
