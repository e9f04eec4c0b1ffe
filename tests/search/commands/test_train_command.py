"""`reid-pareto train` as far as it goes before any training: what it accepts, refuses and shows."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from reid.config import TrialConfig
from reid.errors import ConfigError, DataError, NoDevice
from reid.files import read_json
from reid.losses import LOSSES
from reid.models import BACKBONES, NetworkOptions
from reid.train import EpochReport, Progress
from reid.training_settings import TrainingSettings
from search.cli import app
from search.single import claim
from search.training_view import TrainingView


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    (root / "dataset.json").write_text('{"name": "synthetic"}')
    return root


def run(*arguments: str) -> BaseException | None:
    return CliRunner().invoke(app, ["train", *arguments]).exception


def test_help_has_an_option_for_every_setting_of_a_training() -> None:
    shown = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).output
    options = set(re.findall(r"--([a-z-]+)", shown))
    wanted = {name.replace("_", "-") for name in TrainingSettings.__dataclass_fields__}
    assert wanted <= options


def test_help_names_every_network_its_options_and_every_term_of_a_loss() -> None:
    shown = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).output
    words = set(re.findall(r"[\w-]+", shown))
    wanted = {*BACKBONES, *LOSSES, *NetworkOptions.__dataclass_fields__}
    assert {name for name in wanted if not words & {name, f"--{name}"}} == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--milestones", "4;5"], "--milestones takes epochs such as 40,60, got '4;5'"),
        (["--schedule", "step"], "schedule step needs milestones"),
        (
            ["--schedule", "step", "--milestones", "5,20"],
            "--milestones 5,20 with --epochs 20: the rate falls after",
        ),
        (["--set", "batch_size=128"], "--batch-size is of sampler class-balanced and random"),
        (["--keep", "best"], "keep best needs validate_every"),
        (["--set", "prune_rate=0.5"], "--set prune_rate: train does not prune"),
        (["--set", "learning_rat=1"], "unknown setting 'learning_rat'; did you mean learning_rate?"),
        (["--set", "dataset=market1501"], "--set dataset: the folder that --data names says which"),
        (["--set", "target={threads: two}"], "target.threads must be int, got 'two'"),
        (["--set", "epochs=2", "--epochs", "3"], "--epochs gives 3, --set epochs gives 2; leave one out"),
        (["--set", "flip=0.1", "--flip", "0.5"], "--flip gives 0.5, --set flip gives 0.1; leave one out"),
        (["--set", "input_size=[96, 48]", "--input-size", "128x64"], "--input-size gives [128, 64], --set"),
        (["--seed", "99999999999999999999"], "seed must be at most"),
        (
            ["--teacher-views", "4"],
            "--teacher-views is of teacher_view drawn, and teacher_view plain does not read it; leave it out, or set "
            "--teacher-view drawn",
        ),
        (
            ["--batch-size", "128"],
            "--batch-size is of sampler class-balanced and random, and sampler pk does not",
        ),
        (["--set", "sampler=random", "--images-per-identity", "2"], "leave it out, or set --sampler pk"),
        (["--optimizer", "lamb"], "optimizer must be adam, adamw or sgd, got 'lamb'"),
        (["--backbone", "resnet81"], "unknown backbone 'resnet81'; did you mean resnet18?"),
    ],
)
def test_wrong_values_are_refused_before_a_folder_is_made(
    arguments: list[str], message: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    error = run("--data", str(data), "--out", str(out), *arguments)
    assert isinstance(error, ConfigError)
    assert message in str(error)
    assert not out.exists()


def test_an_option_and_a_setting_of_one_value_are_no_contradiction(data: Path, tmp_path: Path) -> None:
    both = ["--set", "epochs=3", "--epochs", "3", "--set", "input_size=[96, 48]", "--input-size", "96x48"]
    error = run("--data", str(data), "--out", str(tmp_path / "run"), *both, "--set", "flip=0.1")
    assert isinstance(error, DataError), "the images are missed, and nothing before"


def test_a_device_that_nothing_runs_on_is_refused_before_a_folder_is_made(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    error = run("--data", str(data), "--out", str(out), "--set", "target={device: 'cuda:7'}")
    assert isinstance(error, NoDevice)
    assert not out.exists()


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    claim(tmp_path / "run", TrialConfig())
    (tmp_path / "run/cache/dense-1.work").mkdir(parents=True)
    (tmp_path / "run/cache/dense-1.work/epoch.pt").touch()
    claim(tmp_path / "run", TrialConfig())
    with pytest.raises(ConfigError, match="holds something else"):
        claim(tmp_path / "run", TrialConfig(epochs=3))


def test_a_folder_in_which_nothing_was_computed_is_free_for_the_corrected_command(tmp_path: Path) -> None:
    claim(tmp_path / "run", TrialConfig())
    (tmp_path / "run/cache").mkdir()
    for left in ("dense-1.lock", "dense-1.use", "dense-1.failed.json"):
        (tmp_path / "run/cache" / left).touch()
    claim(tmp_path / "run", TrialConfig(epochs=3))
    assert read_json(tmp_path / "run/config.json")["epochs"] == 3


@pytest.mark.parametrize("content", [b"", b'{"a":', b"[1]", b"5", b"\xff\xfe", b'{"another": "program"}'])
def test_a_note_that_is_not_ours_is_left_alone(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match="holds something else"):
        claim(tmp_path, TrialConfig())
    assert (tmp_path / "config.json").read_bytes() == content


def test_a_refused_training_leaves_no_curves(tmp_path: Path) -> None:
    with TrainingView(Console(quiet=True), tmp_path / "curves"):
        pass
    assert not (tmp_path / "curves").exists()


def test_bar_on_a_terminal_and_silence_elsewhere(tmp_path: Path) -> None:
    for terminal in (True, False):
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=terminal, width=120)
        with TrainingView(console, tmp_path / str(terminal)) as view:
            for step in (1, 2):
                view.step(
                    "dense",
                    Progress(epoch=1, epochs=4, step=step, steps=2, loss=2.5, images_per_second=321.0),
                )
            view.epoch(
                "dense",
                EpochReport(epoch=1, loss=2.5, images_per_second=321.0, seconds=1.0, learning_rate=0.1),
            )
        shown = screen.getvalue()
        assert ("dense, epoch 2 of 4" in shown and "321 images/s" in shown) is terminal
        assert terminal or not shown
        assert [path.name.startswith("events") for path in (tmp_path / str(terminal)).iterdir()] == [True]
