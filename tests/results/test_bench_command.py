"""`reid-pareto bench`: a row for each package, ties as in a pick, options by their names."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from reid.errors import ConfigError, NoDevice
from reid.files import read_json, write_json
from reid.timing import Comparison
from results import Study
from results.package_manifest import write_package_manifest
from tests.results.package_calls import call, described
from tests.results.packages import convertible_study


@pytest.fixture
def network(network: Path) -> Path:
    """The same network with the input specification inside, as an export leaves it."""
    return described(network)


@pytest.mark.parametrize(("slower", "tied"), [(1.012, True), (1.05, False)])
def test_bench_calls_a_tie_what_pick_does(
    slower: float, tied: bool, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Differences of one percent come and go with where a network lies in memory, however narrow the interval."""
    call("pick", study.path, "--out", tmp_path / "one", "--no-check")
    rounds = np.random.default_rng(0).normal(5, 0.05, (1, 60, 5))
    found = Comparison(
        samples_ms=np.concatenate([rounds, rounds * slower]), trusted=True, reason="", kernel_drift=0.0,
        kernel_ms=(3.0, 3.0), attempts=1, waited_s=0.0,
    )  # fmt: skip
    monkeypatch.setattr("search.commands.bench.compare_files", lambda paths, targets: found)
    shown = call("bench", tmp_path / "one", tmp_path / "one").stdout
    assert (f"{slower:.3f} to {slower:.3f}, a tie within 2 %" in shown) == tied
    rows = json.loads(call("bench", tmp_path / "one", tmp_path / "one", "--json").stdout)["packages"]
    assert [row["tied"] for row in rows] == [None, tied]


def test_bench_shows_a_row_for_each(study: Study, tmp_path: Path) -> None:
    call("pick", study.path, "--out", tmp_path / "one")
    shown = call("bench", tmp_path / "one")
    assert shown.exception is None
    assert "latency on device cpu, threads 1, batch 1" in shown.stdout
    assert "median ms" in shown.stdout
    assert "rounds, a block of 5 each" in shown.stdout


def test_bench_cuts_no_name_in_a_pipe(study: Study, tmp_path: Path) -> None:
    place = tmp_path / ("a-long-name-" * 2)
    place.mkdir()
    call("pick", study.path, "--trial", 0, "--out", place / "small", "--no-check")
    (place / "large").symlink_to("small")
    shown = call("bench", place / "small", place / "large", "--footprint").stdout
    for name in ("small", "large"):
        assert shown.count(str(place / name)) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runtime", "tensorrt"], "unknown --runtime 'tensorrt'"),
        (["--device", "gpu"], "--device must be cpu or cuda:N"),
        (["--affinity", "0,0"], "--affinity must be different cores"),
        (["--affinity", "0", "--threads", 2], "--affinity must be at least --threads = 2 cores"),
        (["--threads", 5000], "--threads must be at most 1024"),
        (["--affinity", "9999"], "--affinity [9999]: core 9999 cannot be used here, only "),
    ],
)
def test_bench_names_options_that_do_not_go(
    study: Study, tmp_path: Path, options: list[object], said: str
) -> None:
    call("pick", study.path, "--out", tmp_path / "one", "--no-check")
    refused = call("bench", tmp_path / "one", *options).exception
    assert isinstance(refused, ConfigError | NoDevice)
    assert str(refused).startswith(said)


def _made_for(package: Path, **target: object) -> None:
    """The package as if it came from a study on another target."""
    path = package / "metrics.json"
    figures = read_json(path)
    figures["target"] |= target
    write_json(path, figures)
    (package / "manifest.json").unlink()
    write_package_manifest(package)


def test_bench_times_on_what_a_package_is_made_for(tmp_path: Path) -> None:
    call("pick", convertible_study(tmp_path).path, "--trial", 0, "--out", tmp_path / "one", "--no-check")
    _made_for(tmp_path / "one", runtime="torchscript")
    (row,) = json.loads(call("bench", tmp_path / "one", "--json").stdout)["packages"]
    assert row["runtime"] == "torchscript"
    (row,) = json.loads(call("bench", tmp_path / "one", "--runtime", "onnxruntime", "--json").stdout)[
        "packages"
    ]
    assert row["runtime"] == "onnxruntime"


def test_a_package_of_a_machine_with_a_gpu_is_timed_and_exported_here(study: Study, tmp_path: Path) -> None:
    call("pick", study.path, "--out", tmp_path / "one", "--no-check")
    _made_for(tmp_path / "one", runtime="torch-cuda", device="cuda:5", affinity=[800])
    assert isinstance(call("bench", tmp_path / "one").exception, NoDevice)
    here = ("--runtime", "onnxruntime", "--device", "cpu", "--affinity", min(os.sched_getaffinity(0)))
    assert call("bench", tmp_path / "one", *here).exception is None
    made = call(
        "export-target", tmp_path / "one", "--target", "onnxruntime-pixels", "--out", tmp_path / "made"
    )
    assert made.exception is None


def test_bench_measures_footprints(study: Study, tmp_path: Path) -> None:
    call("pick", study.path, "--out", tmp_path / "one")
    timed = json.loads(call("bench", tmp_path / "one", "--footprint", "--json").stdout)
    found = timed["packages"][0]["footprint"]
    assert found["size_bytes"] == (tmp_path / "one" / "model.onnx").stat().st_size
    assert found["cold_start_ms"] > timed["packages"][0]["latency_ms"]
    assert 20 < found["peak_memory_mb"] < 4000
    assert {*found["images_per_second"]} == {"1", "8", "32"}
    assert all(rate > 0 for rate in found["images_per_second"].values())
    shown = call("bench", tmp_path / "one", "--footprint").stdout
    assert "footprint" in shown
    assert "peak" in shown
