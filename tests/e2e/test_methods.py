"""Every pruning method through `reid-pareto trial` on generated images: smaller, exact, and its rate kept."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reid.errors import ConfigError
from reid.models import build, count
from reid.prune import METHODS
from search.cli import app

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("hasty_timing")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stages that all trials share: the dense network is trained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def trial(data: Path, space: Path, cache: Path, tmp_path: Path) -> Any:
    def run(**settings: object) -> dict[str, Any]:
        chosen = {"prune_rate": 0.5, "quantization": "fp32", "scope": "grouped", "input_size": [64, 32]}
        assigned = [
            f"--set={name}={json.dumps(value).strip(chr(34))}" for name, value in (chosen | settings).items()
        ]
        where = [
            "--space",
            str(space),
            "--data",
            str(data),
            "--cache",
            str(cache),
            "--out",
            str(tmp_path / "run"),
        ]
        done = CliRunner().invoke(app, ["trial", *where, "--json", *assigned])
        if done.exception is not None:
            raise done.exception
        found: dict[str, Any] = json.loads((tmp_path / "run" / "trial.json").read_text())
        return found

    return run


def removed_share(found: dict[str, Any]) -> float:
    before, after = zip(*found["checks"]["widths"].values(), strict=True)
    return 1 - sum(after) / sum(before)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"none"}))
def test_a_method_prunes_what_it_is_asked(method: str, trial: Any) -> None:
    if method.startswith("nni-"):
        pytest.importorskip("nni", reason="nni is an extra")
    found = trial(method=method, nni_steps=10)
    assert found["checks"]["slim_max_abs_difference"] <= 1e-4
    assert found["checks"]["parity_min_cosine"] >= 0.999
    assert 0.3 < removed_share(found) <= 0.5
    stages = [row["stage"] for row in found["curves"]]
    soft = method in ("bafd", "plfp", "sfp", "asfp", "fpgm")
    assert stages == ["dense", "prune", "finetune"] if soft else ["dense", "finetune"]


def test_options_of_soft_pruning(trial: Any) -> None:
    found = trial(
        method="fpgm",
        prune_epochs=2,
        gradient_mask=True,
        zero_epochs=1,
        mask_norm=True,
        prune_schedule="cubic",
    )
    assert found["checks"]["slim_max_abs_difference"] <= 1e-4
    assert [row["stage"] for row in found["curves"]].count("prune") == 2


def test_rounds_halve_again_and_again(trial: Any) -> None:
    found = trial(method="hfp", prune_rate=0.75, prune_rounds=2)
    assert [stage["name"] for stage in found["stages"]].count("finetune") == 2
    assert found["checks"]["widths"]["layer4.1.conv1"] == [512, 128]
    assert found["checks"]["slim_max_abs_difference"] <= 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "bafdd"}, "unknown method 'bafdd'; did you mean bafd?"),
        (
            {"method": "sfp", "prune_epochs": 0},
            "method sfp prunes softly and needs prune_epochs of at least 1",
        ),
        ({"prune_rounds": 2, "scope": "inner"}, "prune_rounds must be 1 unless scope is grouped, got 2"),
        (
            {"prune_schedule": "linear"},
            "prune_schedule must be auto, constant, asymptotic or cubic, got 'linear'",
        ),
        ({"zero_epochs": 3}, "zero_epochs must be below prune_epochs, got 3"),
        ({"allocate": "even"}, "allocate must be auto, uniform, bafd or latency, got 'even'"),
        ({"macs_budget": 0.5}, "allocate must be latency where macs_budget is set, got 'auto'"),
        (
            {"allocate": "latency", "latency_budget": 1.5},
            "latency_budget must be a share between 0 and 1, got 1.5",
        ),
        (
            {"allocate": "latency", "latency_budget": 0.5, "macs_budget": 0.5},
            "macs_budget must be left out where latency_budget is set, got 0.5",
        ),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_before_any_work(
    settings: dict[str, Any], message: str, trial: Any
) -> None:
    with pytest.raises(ConfigError) as refused:
        trial(**settings)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [{"method": "bafd"}, {"method": "hfp", "prune_rounds": 2}, {"method": "nni-l1"}],
    ids=["soft", "in rounds", "nni"],
)
def test_an_allocation_by_budget_says_what_it_reached(settings: dict[str, Any], trial: Any) -> None:
    if settings["method"].startswith("nni-"):
        pytest.importorskip("nni", reason="nni is an extra")
    found = trial(**settings, allocate="latency", macs_budget=0.4)
    assert found["checks"]["slim_max_abs_difference"] <= 1e-4
    allocation = found["checks"]["allocation"]
    assert (allocation["by"], allocation["budget"]) == ("macs", 0.4)
    dense = count(build("resnet18", 3), (64, 32)).macs
    assert found["metrics"]["macs"] / dense == pytest.approx(allocation["reached"])
    assert allocation["reached"] <= 0.4 * 1.02
