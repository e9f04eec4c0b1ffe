"""Schemes on targets through `reid-pareto trial`, on generated images."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reid.errors import ConfigError
from reid.quantize import offered
from reid.runtime import usable_devices
from search.cli import app

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("hasty_timing")]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stages that all trials share: the network is trained once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def trial(data: Path, space: Path, cache: Path, tmp_path: Path) -> Any:
    def run(target: str, scheme: str, **more: Any) -> dict[str, Any]:
        call = [
            "trial",
            "--space",
            space,
            "--data",
            data,
            "--cache",
            cache,
            "--out",
            tmp_path / "run",
            "--json",
        ]
        settings = {"method": "none", "input_size": [64, 32], "quantization": scheme, "target": target}
        settings |= more
        call += [f"--set={name}={json.dumps(value).strip(chr(34))}" for name, value in settings.items()]
        done = CliRunner().invoke(app, [str(part) for part in call])
        if done.exception is not None:
            raise done.exception
        found: dict[str, Any] = json.loads((tmp_path / "run" / "trial.json").read_text())
        return found

    return run


COMBINATIONS = [
    (target, scheme)
    for target in ("onnxruntime", "openvino", "torchscript", "torchscript-qnnpack", "executorch")
    for scheme in offered(target, "cpu")
]
"""Every scheme that is offered on a CPU; what is not offered there is refused, as tested below."""


@pytest.mark.parametrize(("target", "scheme"), COMBINATIONS)
def test_a_scheme_on_a_target(target: str, scheme: str, trial: Any, tmp_path: Path) -> None:
    if not usable_devices(target):
        pytest.skip(f"{target} is not installed (an extra)")
    found = trial(target, scheme)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["target"]["runtime"] == target
    assert found["metrics"]["latency_ms"] > 0
    assert found["checks"]["parity_min_cosine"] >= 0.999
    assert found["metrics"]["mAP"] > 0


def test_a_footprint_is_measured_where_it_is_asked_for(trial: Any) -> None:
    metrics = trial("onnxruntime", "fp32", footprint=True)["metrics"]
    assert metrics["cold_start_ms"] > metrics["latency_ms"]
    assert metrics["peak_memory_mb"] * 2**20 > metrics["size_bytes"]
    assert {f"throughput_{batch}_per_s" for batch in (1, 8, 32)} <= metrics.keys()


@pytest.mark.parametrize(
    ("target", "scheme", "error", "message"),
    [
        ("torch-cuda", "fp16", ConfigError, "torch-cuda on cpu: .* fp16 is offered by .* torch-cuda on cuda"),
        (
            "torchscript",
            "fp16",
            ConfigError,
            "quantization fp16 is not offered with target.runtime torchscript",
        ),
        ("torchscripts", "fp32", ConfigError, "did you mean torchscript"),
    ],
)
def test_what_cannot_run_is_refused_before_any_work(
    target: str, scheme: str, error: type[Exception], message: str, trial: Any, cache: Path
) -> None:
    before = sorted(cache.iterdir()) if cache.is_dir() else []
    with pytest.raises(error, match=message):
        trial(target, scheme)
    assert (sorted(cache.iterdir()) if cache.is_dir() else []) == before
