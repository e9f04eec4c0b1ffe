"""Every target of `export-target`: the package that it makes is verified, timed, and run by its own program."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from reid.runtime.convert import CONVERTERS
from search.cli import app
from tests.contract.deployment import people
from tests.results.packages import convertible_study


def call(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    call("pick", convertible_study(folder).path, "--trial", 0, "--no-check", "--out", folder / "package")
    return folder / "package"


def similarity(package: Path, pictures: list[Path]) -> float:
    done = subprocess.run(
        [sys.executable, package / "embed.py", *pictures], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[1])


@pytest.mark.parametrize("target", CONVERTERS)
def test_a_converted_package_is_a_package(target: str, source: Path, tmp_path: Path) -> None:
    if target in ("openvino", "executorch"):
        pytest.importorskip(target, reason=f"{target} is not installed (an extra)")
    made = tmp_path / "made"
    call("export-target", source, "--target", target, "--out", made)
    assert json.loads(call("verify", made, "--json"))["min_cosine"] > 0.9999
    timed = json.loads(call("bench", source, made, "--json"))["packages"]
    assert [row["runtime"] for row in timed] == ["onnxruntime", target.removesuffix("-pixels")]
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    for seed, path in enumerate(pictures):
        Image.fromarray(people(1, 90, 40, seed=seed)[0]).save(path)
    assert similarity(made, pictures) == pytest.approx(similarity(source, pictures), abs=2e-4)
    wanted = {line.split(">=")[0] for line in (made / "requirements.txt").read_text().splitlines()}
    assert {"numpy", "pillow"} < wanted
