"""A small generated dataset, a small space, and the command line as a user starts it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions

Cli = Callable[..., subprocess.CompletedProcess[str]]

SPACE = """
name: tiny
dataset: synthetic
fixed:
  backbone: resnet18
  method: bafd
  epochs: 1
  warmup_epochs: 0
  identities_per_batch: 4
  images_per_identity: 2
  prune_epochs: 1
  finetune_epochs: 1
  calibration_images: 8
  max_quantization_drop: 1.0
  validation_share: 0.3
parameters:
  prune_rate:   {float: [0.3, 0.9]}
  quantization: {choice: [fp32, int8-static]}
  scope:        {choice: [inner, grouped]}
  input_size:   {choice: [[64, 32], [48, 32]]}
objectives: {mAP: maximize, latency_ms: minimize}
target: {runtime: onnxruntime, device: cpu, threads: 1, batch: 1}
"""


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared synthetic dataset of 12 training and 4 test identities."""
    root = tmp_path_factory.mktemp("data") / "synthetic"
    prepare_synthetic(SyntheticOptions(identities=12, test_identities=4, images_per_camera=2), root)
    return root


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space file whose trials take seconds."""
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Run `reid-pareto ARGUMENTS` in a process of its own."""
    environment = {
        **os.environ,
        "REID_PARETO_HOME": str(tmp_path_factory.mktemp("home")),
        "REID_PARETO_LOCKS": str(tmp_path_factory.mktemp("locks")),
    }

    def run(*arguments: object, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("reid-pareto"), *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run
