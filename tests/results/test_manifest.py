import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.errors import UnverifiedError
from reid.files import sha256_of
from results.manifest import MANIFEST, commit_folder, plain_files, verify_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A committed folder of two files."""
    root = tmp_path / "artifact"
    (root / "inner").mkdir(parents=True)
    (root / "model.onnx").write_bytes(bytes(range(256)) * 40)
    (root / "inner" / "spec.json").write_text("{}")
    commit_folder(root)
    return root


def test_names_every_file_with_size_and_digest(folder: Path) -> None:
    entries = json.loads((folder / MANIFEST).read_text())["files"]
    assert entries.keys() == {"model.onnx", "inner/spec.json"}
    assert entries["model.onnx"] == {"size_bytes": 10240, "sha256": sha256_of(folder / "model.onnx")}
    assert verify_folder(folder) == folder


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "named", "said"),
    [
        (lambda root: flip(root / "model.onnx", 0), "model.onnx", "differs"),
        (lambda root: flip(root / "model.onnx", 10239), "model.onnx", "differs"),
        (lambda root: (root / "model.onnx").write_bytes(b"short"), "model.onnx", "has 5 bytes"),
        (lambda root: (root / "model.onnx").unlink(), "model.onnx", "is missing"),
        (lambda root: (root / "inner" / "spec.json").unlink(), "spec.json", "is missing"),
        (lambda root: (root / "more.txt").touch(), "more.txt", "is not in"),
        (lambda root: (root / MANIFEST).unlink(), "artifact", "never committed"),
        (lambda root: (root / MANIFEST).write_text("{}"), MANIFEST, "torn"),
        (lambda root: flip(root / MANIFEST, 60), MANIFEST, "torn"),
        (lambda root: os.symlink(root / "model.onnx", root / "link.onnx"), "link.onnx", "no plain file"),
    ],
)
def test_s7_every_change_is_found_and_named(
    folder: Path, damage: Callable[[Path], object], named: str, said: str
) -> None:
    damage(folder)
    with pytest.raises(UnverifiedError, match=said) as caught:
        verify_folder(folder)
    assert named in str(caught.value)
    assert caught.value.exit_code == 6


def test_committing_again_takes_new_files_in(folder: Path) -> None:
    (folder / "more.txt").write_text("more")
    commit_folder(folder)
    assert plain_files(verify_folder(folder)).keys() == {"model.onnx", "inner/spec.json", "more.txt"}


def test_remains_of_broken_off_writes_are_swept_away(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    (tmp_path / ".model.0123abcd.tmp.onnx").write_text("half")
    commit_folder(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [MANIFEST, "model.onnx"]


def test_a_pipe_is_not_committed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnverifiedError, match="pipe"):
        commit_folder(tmp_path)
    assert not (tmp_path / MANIFEST).exists()
