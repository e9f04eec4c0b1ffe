"""Every command of the README and of docs/ is run, at a small size, in the order in which it stands there.

A command runs in a folder that holds what it names (`world.py`), with options around its own that make it small; what
reads a study reads a finished one. What cannot run here stands in `ELSEWHERE` with the reason, or with the test that
runs it.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from search.cli import app
from tests.docs.blocks import DOCUMENTS, ROOT, Command, blocks, commands
from tests.docs.world import SMALL_TRIAL, STUDIES, make_world

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings(
        "ignore:.*torch.jit.script_method.*:DeprecationWarning"
    ),  # torch.compile's import
]

_SETS = [f"--set={name}={json.dumps(value)}" for name, value in SMALL_TRIAL.items()]
_FEW = ["--identities", "12", "--test-identities", "4", "--images-per-camera", "2"]
_NOT_OF_TRAINING = ("prune", "finetune", "quantization", "calibration", "input_size")
LAST: dict[str, list[str]] = {
    "train": ["--epochs", "1"],
    "search": ["--trials", "1", "--gpus-per-trial", "0", "--cpus-per-trial", "1"],
    "simulate": ["--trials", "8"],
    "trial": ["--cache", "stages"],
}
"""Options put behind those of a command; where an option stands twice, the last holds.

The trials of a document share their stages: most of them start from the same dense network.
"""


def small(arguments: Sequence[str]) -> list[str]:
    """The same command at a size that takes seconds: what it does not say of a trial is made small."""
    name, *rest = arguments
    first = list(_SETS) if name in ("trial", "search") else []
    if name == "train":
        size = "128x64" if "bf16" in rest else "64x32"  # where bf16 is refused
        first = [f"--input-size={size}"]
        unread = [
            *_NOT_OF_TRAINING,
            *(["identities_per_batch", "images_per_identity"] if "--sampler" in rest else []),
            *(["epochs"] if "--milestones" in rest else []),
        ]
        first += [text for text in _SETS if not any(word in text for word in unread)]
    if name in ("trial", "search"):
        first += ["--data", "data/synthetic"]
        if not any(word in text for text in rest for word in ("method=", "prune")):
            first.append("--set=method=none")
    last = _FEW if rest[:2] == ["prepare", "synthetic"] else LAST.get(name, [])
    # A rate that falls needs an epoch after that.
    falling = ["--epochs", "2", "--milestones", "1"] if "--milestones" in rest else []
    return [name, *first, *rest, *last, *falling]


INSTEAD = {
    # The trials of the finished studies differ by this at least.
    "--max-drop mAP=0.01": "--max-drop mAP=0.1",
}
"""Words that are replaced, each with its reason."""

ELSEWHERE = {
    "git clone": "how this folder came about",
    "pip install": "needs the network; tests/results/test_package_alone.py runs a package without this project",
    "kubectl": "needs Kubernetes",
    "PYTHONPATH=examples": "tests/test_examples.py",
    "python -m benchmarks.teacher": "minutes on the real teacher",
    "reid-pareto trial --space market-osnet-longer": "like that of market-osnet-small: a network from a cache",
    "python -m benchmarks.market_study.wider": "tests/benchmarks/test_wider.py",
    "reid-pareto search --space market-osnet-wider": "begins with what that leaves: tests/e2e/test_presets.py",
    "reid-pareto trial --space market-osnet-wider": "begins with what that leaves: tests/e2e/test_presets.py",
    "python -m benchmarks.market_study studies": "minutes on a quiet machine, and the studies of hours",
    "(umask 077": "tests/docs/test_cluster.py",
    "export RAY_AUTH_MODE": "tests/docs/test_cluster.py",
    "RAY_AUTH_MODE=token": "tests/docs/test_cluster.py",
    "reid-pareto search --space market-resnet18": "tests/docs/test_cluster.py",
    "reid-pareto retime": "needs a quiet machine: tests/results/test_retimed.py",
    "reid-pareto review": "serves until it is stopped: tests/results/test_review.py",
    "export AWS_ACCESS_KEY_ID": "tests/search/test_remote_study.py",
    "reid-pareto search --space demo --study s3:": "tests/search/test_remote_study.py",
    "reid-pareto status s3:": "tests/search/test_remote_study.py",
    "reid-pareto data prepare NAME": "names nothing in particular",
    "reid-pareto data inspect DATA": "names nothing in particular",
    "tensorboard": "serves until it is stopped",
    "ssh -N": "needs another machine",
    "docker build": "needs Docker",
}
"""Beginnings of commands that this file does not run."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    make_world(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        _call(["pick", "STUDY", "--out", "package"])
        _call(["pick", "STUDY", "--trial", "7", "--zip", "--out", "trial-7"])
    return root


def _with(language: str) -> list[Path]:
    return [path for path in DOCUMENTS if any(block.language == language for block in blocks(path))]


WITH_COMMANDS = [
    pytest.param(
        path,
        marks=[pytest.mark.ray] if "reid-pareto search" in path.read_text() else [],
        id=str(path.relative_to(ROOT)),
    )
    for path in _with("sh")
]
# The program of the record format has a test that compares what it finds: tests/results/test_record_format.py.
WITH_PROGRAMS = [path for path in _with("python") if path.name != "record-format.md"]


@pytest.fixture(autouse=True)
def hasty(hasty_timing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling stops before the compiler proper."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


@pytest.mark.parametrize("document", WITH_COMMANDS)
def test_the_commands_of_a_document_run(
    document: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    shutil.copytree(world, here)
    monkeypatch.chdir(here)
    made: set[str] = set()
    for block in blocks(document):
        if block.language == "sh":
            for command in commands(block):
                if not _is_elsewhere(command):
                    _run(command, made)


@pytest.mark.parametrize("document", WITH_PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_programs_of_a_document_run(
    document: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(document):
        if block.language == "python":
            program = compile("\n" * (block.line - 1) + block.text, str(document), "exec")
            exec(program, {"__name__": block.place})


def test_every_block_says_what_it_is_and_every_exemption_is_needed() -> None:
    found = [block for document in DOCUMENTS for block in blocks(document)]
    assert [block.place for block in found if not block.language] == []
    texts = [_plain(command) for block in found if block.language == "sh" for command in commands(block)]
    assert [start for start in ELSEWHERE if not any(text.startswith(start) for text in texts)] == []


def _plain(command: Command) -> str:
    return " ".join(command.text.replace("'", "").split())


def _is_elsewhere(command: Command) -> bool:
    return _plain(command).startswith(tuple(ELSEWHERE))


def _run(command: Command, made: set[str]) -> None:
    text = command.text
    for old, new in INSTEAD.items():
        text = text.replace(old, new)
    text, _, redirected = text.partition(" > ")
    program, *arguments = shlex.split(text)
    _make_room(arguments, made)
    if program == "make":
        done = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
    elif program == "python":
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, timeout=300)
    else:
        assert program == "reid-pareto", f"{command.place}: who runs {command.text}?"
        output = _call(small(arguments), command).stdout
        if redirected:
            # Whether this machine was quiet is no matter of the documentation.
            Path(redirected).write_text(output.replace('"trusted": false', '"trusted": true'))
        if arguments[0] == "search":
            _finish(Path(arguments[arguments.index("--study") + 1]))


def _finish(study: Path) -> None:
    """Put a finished study in the place of one that was searched, whose timings may all be untrusted."""
    assert (study / "trials" / "000000.json").is_file()
    if str(study) in STUDIES:
        shutil.rmtree(study)
        shutil.copytree("STUDY", study)


def _make_room(arguments: list[str], made: set[str]) -> None:
    """Remove what the world holds already under a name that this command is the first of its document to write."""
    outputs = ["--out", "--to", *(["--study"] if arguments[0] == "search" else [])]
    for option, value in pairwise(arguments):
        if option in outputs and value not in made:
            made.add(value)
            if os.path.isdir(value):
                shutil.rmtree(value)
            Path(f"{value}.zip").unlink(missing_ok=True)


def _call(arguments: list[str], command: Command | None = None) -> Result:
    done = CliRunner().invoke(app, arguments)
    where = command or Command(place="world", text=shlex.join(arguments))
    assert done.exit_code == 0, f"{where.place}: {where.text}\n{done.output}\n{done.exception!r}"
    return done
