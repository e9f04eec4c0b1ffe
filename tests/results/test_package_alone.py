"""A package in a fresh virtual environment that holds what its requirements.txt names, and nothing of ours."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.config import Target
from reid.runtime import open_artifact
from results import Study
from search.picking import Wishes, pick_package
from tests.contract.deployment import people
from tests.results.conftest import SIZE
from tests.results.test_package_commands import network  # noqa: F401 - a fixture, by name

pytestmark = pytest.mark.e2e


def run(*command: object, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=timeout_s, check=False
    )


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of an empty environment."""
    venv.create(tmp_path / "venv", system_site_packages=False, with_pip=True)
    return tmp_path / "venv" / "bin" / "python"


def test_embeds_in_a_fresh_environment(study: Study, python: Path, tmp_path: Path) -> None:
    package = pick_package(
        study, Wishes(trial=5), tmp_path / "package", check=False, say=lambda line: None
    ).package
    installed = run(python, "-m", "pip", "install", "-q", "-r", package / "requirements.txt")
    if installed.returncode:
        pytest.skip(f"pip cannot install the requirements here: {installed.stderr.strip().splitlines()[-1]}")
    listed = json.loads(run(python, "-m", "pip", "list", "--format", "json").stdout)
    assert not {"torch", "reid-pareto", "onnx", "ray"} & {entry["name"].lower() for entry in listed}
    crops = tmp_path / "crops"
    crops.mkdir()
    for number, image in enumerate(people(3, *SIZE)):
        Image.fromarray(image).save(crops / f"{number}.png")
    out = tmp_path / "found.npy"
    done = run(python, "-I", "-W", "error", package / "embed.py", crops, out)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        np.load(out), open_artifact(package, Target()).embed(people(3, *SIZE)), atol=1e-5
    )
    one = run(python, package / "embed.py", crops / "0.png", crops / "0.png")
    assert one.stdout == "similarity 1.0000\n"
    assert sys.prefix not in run(python, "-c", "import sys; print(sys.path)").stdout
