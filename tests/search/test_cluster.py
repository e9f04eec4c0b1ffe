"""The private folder of Ray's files, without starting Ray."""

import tempfile
from pathlib import Path

import pytest

from search.runner import cluster


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folder_is_private_and_goes_at_the_end(temporary: Path) -> None:
    with cluster._private_folder() as folder:
        assert folder.parent == temporary
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "session").mkdir()
    assert list(temporary.iterdir()) == []


def test_only_folders_of_dead_drivers_are_swept(temporary: Path) -> None:
    dead = temporary / f"{cluster._PREFIX}dead"
    (dead / "session").mkdir(parents=True)
    (dead / cluster._LOCK).touch()
    foreign = temporary / "somebody-elses"
    foreign.mkdir()
    with cluster._private_folder() as alive:
        (alive / "session").mkdir()
        cluster._sweep()
        assert sorted(temporary.iterdir()) == sorted([alive, foreign])
        assert (alive / "session").is_dir()
