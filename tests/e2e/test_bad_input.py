"""Bad input gives one clear line, the right exit code and no traceback."""

import zipfile
from pathlib import Path

import pytest

from tests.e2e.conftest import SPACE, Cli

pytestmark = pytest.mark.e2e


def refused(cli: Cli, *arguments: object, code: int = 2) -> str:
    """The one line that the command printed on refusing."""
    done = cli(*arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def search_of(space: object, study: Path, *more: object, trials: object = 2) -> list[object]:
    return ["search", "--space", space, "--study", study, "--trials", trials, *more]


def test_no_such_folder(cli: Cli, space: Path, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    assert str(missing) in refused(cli, *search_of(space, tmp_path / "study", "--data", missing))
    assert str(missing) in refused(cli, "data", "inspect", missing)
    assert str(missing) in refused(cli, "status", missing)
    assert str(missing) in refused(
        cli, "data", "prepare", "market1501", "--from", missing, "--to", tmp_path / "to"
    )


def test_archive_that_climbs_out(cli: Cli, tmp_path: Path) -> None:
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("bounding_box_train/0001_c1s1_000001_01.jpg", b"x")
        file.writestr("../outside.txt", b"x")
    line = refused(cli, "data", "prepare", "market1501", "--from", archive, "--to", tmp_path / "inner" / "to")
    assert "../outside.txt" in line
    assert not (tmp_path / "outside.txt").exists()
    assert not (tmp_path / "inner" / "to").exists()


def test_truncated_jpeg(cli: Cli, data: Path, tmp_path: Path) -> None:
    import shutil

    raw = tmp_path / "raw"
    shutil.copytree(data, raw, ignore=shutil.ignore_patterns(".decoded", "dataset.json"))
    victim = sorted((raw / "bounding_box_train").glob("*.jpg"))[3]
    victim.write_bytes(victim.read_bytes()[:300])
    line = refused(cli, "data", "prepare", "market1501", "--from", raw, "--to", tmp_path / "to")
    assert victim.name in line
    assert "--skip-bad" in line
    done = cli("data", "prepare", "market1501", "--from", raw, "--to", tmp_path / "to", "--skip-bad")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("resnet18", "resnet81", "unknown backbone 'resnet81'; did you mean resnet18?"),
        ("prune_rate:", "prune_rte:", "did you mean prune_rate?"),
        ("objectives:", "objective:", "did you mean objectives?"),
        ("int8-static", "int8-statik", "unknown quantization 'int8-statik'; did you mean int8-static?"),
        ("method: bafd", "method: bfad", "unknown method 'bfad'; did you mean bafd?"),
        ("[48, 32]", "[48]", "input_size must be [height, width]"),
        ("[0.3, 0.9]", "[0.3, 1.9]", "prune_rate"),
    ],
)
def test_wrong_space_file(cli: Cli, data: Path, tmp_path: Path, old: str, new: str, expected: str) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(SPACE.replace(old, new))
    study = tmp_path / "study"
    assert expected in refused(cli, *search_of(wrong, study, "--data", data))
    assert not (study / "study.json").exists()


def test_unknown_space_lists_the_presets(cli: Cli, tmp_path: Path) -> None:
    line = refused(cli, *search_of("dmo", tmp_path / "study"))
    assert "demo" in line


def test_no_trials(cli: Cli, space: Path, data: Path, tmp_path: Path) -> None:
    line = refused(cli, *search_of(space, tmp_path / "study", "--data", data, trials=0))
    assert "--trials must be at least 1, got 0" in line


def test_market_without_data(cli: Cli, tmp_path: Path) -> None:
    assert "--data is missing" in refused(cli, *search_of("market-osnet", tmp_path / "study"))


def test_bare_weights_without_backbone(cli: Cli, data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"no weights")
    assert "--backbone" in refused(cli, "evaluate", weights, "--data", data)
    line = refused(cli, "evaluate", weights, "--data", data, "--backbone", "resnet18")
    assert str(weights) in line


def test_unknown_setting_of_a_trial(cli: Cli, space: Path, data: Path, tmp_path: Path) -> None:
    base = ["trial", "--space", space, "--data", data, "--out", tmp_path / "out"]
    assert "did you mean prune_rate?" in refused(cli, *base, "--set", "prune_rates=0.5")
    assert "--set takes name=value" in refused(cli, *base, "--set", "prune_rate")
    assert "knn must be int" in refused(cli, *base, "--set", "knn=two")
