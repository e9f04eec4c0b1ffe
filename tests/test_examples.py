"""Every program in examples/ runs as its head says, in a process of its own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reid.evaluate.plugin import load_metric
from results import commit
from tests.docs.world import SMALL_TRIAL
from tests.results.samples import make_study, with_metrics

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
ALONE = ("rank_embeddings", "slim_a_network", "pareto_front", "one_trial")
NEED_MORE = ("own_metric", "own_network", "read_a_study")


def run(name: str, *arguments: object) -> str:
    call = [sys.executable, EXAMPLES / f"{name}.py", *map(str, arguments)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*ALONE, *NEED_MORE}
    for path in EXAMPLES.glob("*.py"):
        assert re.search(rf"examples/{path.stem}\.py|{path.stem}:", path.read_text()), (
            "its head says how to run it"
        )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rank_embeddings", r"mAP 0\.\d+, rank-1 [01]\.\d+: single query.*\nre-ranked: mAP 0\.\d+"),
        ("slim_a_network", r"MMAC, \d+ -> \d+ parameters\nlargest difference between the embeddings: \d"),
        ("pareto_front", r"on the front; hypervolume \d+\.\d+"),
    ],
)
def test_examples_without_data(name: str, says: str) -> None:
    assert re.search(says, run(name))


@pytest.mark.e2e
def test_a_trial_from_python(tmp_path: Path) -> None:
    said = run("one_trial", tmp_path)
    assert re.search(r"(complete|infeasible): mAP 0\.\d+, \d+\.\d+ ms", said)
    assert Path(said.split("exported file: ")[1].strip(), "model.onnx").is_file()


def test_reading_a_study(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for number, latency_ms in enumerate((4.0, 2.0)):
        commit(study, with_metrics(number, {"latency_ms": latency_ms, "mAP": 0.8 - number / 10}))
    said = run("read_a_study", study.path)
    assert said.startswith("market-resnet18: 2 trials\ntrial 0: mAP 0.8, latency_ms 4;")
    assert "prune: 123 s" in said


def test_the_metric_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    metric = load_metric("own_metric:margin")
    query, gallery = np.eye(2, 4), np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]])
    ids, cameras = np.array([1, 2]), np.array([0, 0])
    found = metric(query, ids, cameras, gallery, np.array([1, 2, 3]), np.array([1, 1, 1]))
    assert found == pytest.approx(1 - np.sqrt(0.5))


@pytest.mark.e2e
@pytest.mark.ray
def test_the_network_is_searched_over(tmp_path: Path) -> None:
    """By the command line, whose workers import it too; then a package of it runs."""
    data, study = tmp_path / "data", tmp_path / "study"
    small = {**SMALL_TRIAL, "scope": "inner", "prune_rate": 0.6, "backbone": "own_network:body"}
    sets = [f"--set={name}={json.dumps(value)}" for name, value in small.items()]
    few = ["--identities", "12", "--test-identities", "4", "--images-per-camera", "2"]
    _cli("data", "prepare", "synthetic", "--to", data, *few)
    _cli("search", "--space", "demo", "--data", data, "--study", study, "--trials", 1, *sets)
    record = json.loads((study / "trials" / "000000.json").read_text())
    assert record["status"] in ("complete", "infeasible"), record
    assert record["config"]["backbone"] == "own_network:body"
    widths = record["checks"]["widths"]
    assert {name for name, (width, kept) in widths.items() if kept < width} & {"body.2.conv1", "body.4.conv1"}
    _cli("pick", study, "--trial", 0, "--out", tmp_path / "package")
    _cli("verify", tmp_path / "package")


def _cli(*arguments: object) -> None:
    call = [sys.executable, "-m", "search.cli", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{EXAMPLES}{os.pathsep}{ROOT}"}
    done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
