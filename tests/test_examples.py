"""Every program in examples/ runs as its head says, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reid.evaluate.plugin import load_metric
from results import commit
from tests.results.samples import make_study, with_metrics

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
ALONE = ("rank_embeddings", "slim_a_network", "pareto_front", "one_trial")
NEED_MORE = ("own_metric", "read_a_study")


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
