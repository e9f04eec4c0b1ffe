"""The program that goes into every package does what our runtime does, without us."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.config import Target
from reid.runtime import open_artifact
from tests.contract.deployment import SPEC, people, tiny_artifact

PROGRAM = Path(__file__).resolve().parents[3] / "results" / "templates" / "embed.py"


def similarity(folder: Path, *names: str) -> float:
    command = [sys.executable, "-I", "-W", "error", str(PROGRAM), *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    word, value = done.stdout.split()
    assert word == "similarity"
    return float(value)


@pytest.mark.parametrize("flip", [False, True])
def test_agrees_with_the_runtime(tmp_path: Path, flip: bool) -> None:
    runtime = open_artifact(tiny_artifact(tmp_path, flip=flip).path, Target())
    pictures = [Image.fromarray(image) for image in people(2, 131, 57)]
    for name, picture in zip("ab", pictures, strict=True):
        picture.save(tmp_path / f"{name}.png")
    size = (SPEC.width, SPEC.height)
    resized = [np.asarray(picture.resize(size, Image.Resampling.BILINEAR)) for picture in pictures]
    a, b = runtime.embed(np.stack(resized))
    assert similarity(tmp_path, "a.png", "b.png") == pytest.approx(float(a @ b), abs=2e-4)
    assert similarity(tmp_path, "a.png", "a.png") == 1


def test_needs_nothing_of_ours() -> None:
    imported = {
        line.split()[1] for line in PROGRAM.read_text().splitlines() if line.startswith(("import", "from"))
    }
    assert imported == {"json", "sys", "numpy", "onnxruntime", "PIL"}
