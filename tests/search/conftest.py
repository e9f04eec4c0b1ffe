"""A whole search without Ray: jobs run one after another in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import search.session
from results import Study
from search.execute import run_job
from search.jobs import Resources, Supply
from search.opening import Data
from spaces import Space, parse_space

FUNCTION = "tests.search.fake_trial:run"


def run_inline(supply: Supply, resources: Resources) -> None:
    """Run jobs here, in order; what `search.runner.run_jobs` does on Ray."""
    while not supply.finished and not supply.abandoned:
        job = supply.take()
        assert job is not None, "nothing to do and not finished"
        supply.settle(job, run_job(job))


def make_space(**changes: Any) -> Space:
    """The demo's space in small."""
    values = {
        "name": "tiny",
        "dataset": "synthetic",
        "fixed": {"backbone": "resnet18", "method": "bafd"},
        "parameters": {
            "prune_rate": {"float": [0.3, 0.9]},
            "decay_rate": {"float": [0.0, 0.9]},
            "knn": {"int": [2, 5], "when": {"method": "bafd"}},
            "input_size": {"choice": [[96, 48], [128, 64]]},
            "quantization": {"choice": ["fp32", "int8-static"]},
        },
        "objectives": {"mAP": "maximize", "latency_ms": "minimize"},
        **changes,
    }
    return parse_space(values, "tiny")


@pytest.fixture
def space() -> Space:
    return make_space()


@pytest.fixture
def run_search(tmp_path: Path, space: Space, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Study]:
    """`search` on a study in a temporary folder, with fake trials."""
    monkeypatch.setattr("tests.search.fake_trial.SLEEP_S", 0.0)
    monkeypatch.setattr(search.session, "run_jobs", run_inline)

    def run(trials: int, **changes: Any) -> Study:
        given = {
            "path": tmp_path / "study",
            "space": space,
            "data": Data(name="synthetic", root=tmp_path, fingerprint="fake"),
            "trials": trials,
            "function": FUNCTION,
            **changes,
        }
        return search.session.search(given.pop("path"), given.pop("space"), given.pop("data"), **given)

    return run
