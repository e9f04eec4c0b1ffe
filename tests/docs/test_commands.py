"""Every command of README and docs/ is run, in the order of its page, as it stands but for what makes it long."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.errors import NothingFeasible
from search.cli import app
from tests.docs.blocks import PAGES, blocks, commands
from tests.docs.world import make_world

pytestmark = [pytest.mark.e2e, pytest.mark.ray]

SKIPPED = {
    "reid-pareto data prepare NAME --from SOURCE --to DATA": "the pattern of the commands below it",
    "reid-pareto review STUDY": "serves until Ctrl-C: tests/results/test_review.py",
    "make demo": "some minutes: tests/e2e/test_main_job.py runs its steps",
    "make test": "this",
    "pip install openvino": "needs a package index",
    "pip install -r package/requirements.txt": "needs a package index: tests/results/test_package_alone.py",
}
"""Commands that are not run here, and why."""
ELSEWHERE = {
    "docs/cluster.md": "needs several machines",
    "docs/storage.md": "needs an object store: tests/search/test_remote_study.py",
}
"""Pages whose commands are not run here, and why."""

SHORTER = {
    "--epochs": "1", "--trials": "2", "--identities": "12", "--trial": "1", "--min": "mAP=0.01", "--max-drop": "mAP=1",
}  # fmt: skip
"""What stands behind an option, where the page names more."""
ADDED = {
    "data prepare synthetic": "--test-identities 4 --images-per-camera 2",
    "train": "--set identities_per_batch=4 --set images_per_identity=2",
    "pick": "--no-check",
}
SMALLER = {
    "epochs": "1", "warmup_epochs": "0", "prune_epochs": "1", "finetune_epochs": "1", "qat_epochs": "1",
    "identities_per_batch": "4", "images_per_identity": "2", "calibration_images": "8", "validation_share": "0.3",
    "max_quantization_drop": "1.0", "input_size": "[64, 32]",
}  # fmt: skip
"""Settings added to `trial` and `search`."""
NAMES = {"DATA": "data/market1501", "STUDY": "studies/osnet"}


def shortened(command: str) -> list[str]:
    """The words of a command of ours, with what makes it long made small."""
    words = [NAMES.get(word, word) for word in shlex.split(command)[1:]]
    for option, value in SHORTER.items():
        words = [
            value if before == option else word for before, word in zip(["", *words], words, strict=False)
        ]
    for start, more in ADDED.items():
        if words[: len(start.split())] == start.split():
            words += more.split()
    if words[0] in ("trial", "search"):
        given = {word.partition("=")[0] for word in words if "=" in word}
        for name, value in SMALLER.items():
            words += [] if name in given else ["--set", f"{name}={value}"]
    return words


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that pages name: a study of two trials among it."""
    people = SyntheticOptions(identities=12, test_identities=4, images_per_camera=2)
    data = prepare_synthetic(people, tmp_path_factory.mktemp("data") / "synthetic").root
    root = tmp_path_factory.mktemp("world")
    make_world(root, data)
    search = "search --space tiny.yaml --data data/market1501 --study studies/osnet --trials 2"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REID_PARETO_LOCKS", str(tmp_path_factory.mktemp("locks")))
        assert not shell(f"reid-pareto {search}", root)
    for number, package in enumerate(("packages/small", "packages/large")):
        call = [
            "pick",
            str(root / "studies/osnet"),
            "--trial",
            str(number),
            "--no-check",
            "--out",
            str(root / package),
        ]
        done = CliRunner().invoke(app, call)
        assert done.exception is None, done.exception
    for name in ("first", "demo"):
        shutil.copytree(root / "studies/osnet", root / "studies" / name)
    return root


@pytest.fixture
def place(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page's own copy of that folder, and the folder that its commands are run in."""
    shutil.copytree(world, tmp_path / "place", ignore=shutil.ignore_patterns("home"))
    monkeypatch.chdir(tmp_path / "place")
    # The generated dataset is made once for all pages.
    monkeypatch.setenv("REID_PARETO_HOME", str(world / "home"))
    return tmp_path / "place"


def typed(command: str, place: Path) -> str:
    """What is wrong with a command when it is run in `place`, or ""."""
    if not command.startswith("reid-pareto "):
        return shell(command, place)
    words = shortened(command)
    # A cluster belongs to the process that starts it.
    if words[0] == "search" or ">" in words:
        return shell("reid-pareto " + " ".join(w if w == ">" else shlex.quote(w) for w in words), place)
    done = CliRunner().invoke(app, words)
    if isinstance(done.exception, NothingFeasible) and "untrusted latency" in str(done.exception):
        # The machine of a test is not quiet; the packages that later commands name are of any trial then.
        done = CliRunner().invoke(
            app, ["pick", words[1], "--trial=0", "--no-check", "--out", words[words.index("--out") + 1]]
        )
    return "" if done.exception is None else repr(done.exception)


def shell(command: str, place: Path) -> str:
    """What a shell says when a command fails, or ""."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": paths}
    ran = subprocess.run(
        ["bash", "-ec", command], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    return "" if ran.returncode == 0 else ran.stderr or f"exit code {ran.returncode}"


@pytest.mark.parametrize("page", [name for name in PAGES if name not in ELSEWHERE])
def test_commands_run(page: str, place: Path) -> None:
    typed_here = commands(PAGES[page])
    for own in re.findall(r"--study (\S+)", "\n".join(typed_here)):
        shutil.rmtree(place / own, ignore_errors=True)
    for command in typed_here:
        if command not in SKIPPED and not command.startswith("python -m benchmarks"):
            problem = typed(command, place)
            assert not problem, f"{page}: {command}\n{problem}"


def test_what_is_left_out_is_still_there() -> None:
    everything = {command for page in PAGES.values() for command in commands(page)}
    assert set(SKIPPED) <= everything
    assert set(ELSEWHERE) <= set(PAGES)


BENCHMARKS = sorted(
    {c for page in PAGES.values() for c in commands(page) if c.startswith("python -m benchmarks.")}
)


@pytest.mark.parametrize("command", BENCHMARKS)
def test_benchmarks_take_the_options_that_pages_name(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = shlex.split(command)[2]
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit):
        importlib.import_module(name).main()
    told = capsys.readouterr().out
    assert [word for word in shlex.split(command) if word.startswith("--") and word not in told] == []


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_data_and_programs_are_sound(page: str, place: Path) -> None:
    for block in blocks(PAGES[page]):
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "yaml":
            yaml.safe_load(block.text)
        elif block.language == "python":
            exec(compile(block.text, page, "exec"), {})
        else:
            assert block.language in ("", "sh", "bash"), block.language
