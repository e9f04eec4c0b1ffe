"""X2, X14: files that hold code, planted in a study and in packages, are never unpickled nor run by what reads them.

The commands run in a process of their own under an audit hook, which hears of every class that unpickling looks up;
libraries that they import unpickle nothing from disk either.
"""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from results.package_manifest import write_package_manifest
from search.cli import app
from tests.results.packages import convertible_study

pytestmark = pytest.mark.fault

WATCHED = """
import json, sys
heard = []
sys.addaudithook(lambda event, args: heard.append(str(args)) if event == "pickle.find_class" else None)
from typer.testing import CliRunner
from search.cli import app
codes = [CliRunner().invoke(app, call).exit_code for call in json.loads(sys.argv[1])]
print(json.dumps({"codes": codes, "heard": heard}))
"""


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def watched(*calls: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, json.dumps(calls)], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_x2_nothing_in_a_study_is_unpickled(tmp_path: Path) -> None:
    study, mark = convertible_study(tmp_path).path, tmp_path / "executed"
    bomb = pickle.dumps(Bomb(mark))
    for name in (
        "evil.pkl",
        "study.pkl",
        "trials/000001.pkl",
        "trials/000000.json.pkl",
        "artifacts/000000.pkl",
    ):
        (study / name).write_bytes(bomb)
    cache = study / "cache" / f"dense-{'0' * 32}"
    cache.mkdir(parents=True)
    torch.save({"model": Bomb(mark)}, cache / "checkpoint.pt")
    found = watched(
        ["status", str(study)],
        ["front", str(study)],
        ["report", str(study), "--out", str(tmp_path / "report.html")],
        ["pick", str(study), "--no-check", "--out", str(tmp_path / "package")],
        ["verify", str(tmp_path / "package")],
    )
    assert found == {"codes": [0] * 5, "heard": []}
    assert not mark.exists()


@pytest.mark.parametrize("target", ["torchscript", "executorch"])
def test_x14_the_program_in_a_package_is_hashed_and_never_opened(target: str, tmp_path: Path) -> None:
    if target == "executorch":
        pytest.importorskip(target, reason="executorch is not installed (an extra)")
    mark, source, made = tmp_path / "executed", tmp_path / "source", tmp_path / "made"
    study = convertible_study(tmp_path).path
    for call in (
        ["pick", study, "--trial", 0, "--no-check", "--out", source],
        ["export-target", source, "--target", target, "--out", made],
    ):
        assert CliRunner().invoke(app, [str(part) for part in call]).exit_code == 0
    (program,) = (path for path in made.iterdir() if path.suffix in (".pt", ".pte"))
    torch.save(Bomb(mark), program)
    assert watched(["verify", str(made)])["codes"] == [1]
    # Even where a forger made the manifest anew.
    (made / "manifest.json").unlink()
    write_package_manifest(made)
    found = watched(["verify", str(made)], ["bench", str(made)])
    assert found["codes"] == [0, 0]
    assert not [name for name in found["heard"] if "posix" in name or "mkdir" in name]
    assert not mark.exists()
