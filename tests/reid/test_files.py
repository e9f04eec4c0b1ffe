"""The one writer: whole or not at all, whatever stops it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reid.errors import ResourceError
from reid.files import read_json, remove_tree, sha256_of, write_atomic, write_json, write_with


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_atomic(path, "one")
    write_atomic(path, b"two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_former_content(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "former")

    def half(temporary: Path) -> None:
        temporary.write_text("ha")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_with(path, half)
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.fault
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_sigkill_before_each_system_call(tmp_path: Path, call: str) -> None:
    path = tmp_path / "file.txt"
    write_atomic(path, "former")
    code = (
        "import os, sys, signal, pathlib, reid.files as f\n"
        "die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"call = {call!r}\n"
        "if call == 'write': f._write_bytes = die\n"
        "else: setattr(os, call, die)\n"
        "f.write_atomic(pathlib.Path(sys.argv[1]), 'latter')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "former"


@pytest.mark.fault
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small filesystem")
def test_s1_full_disk_is_a_clear_error_and_keeps_what_was_there(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        write_atomic(small / "record.json", "kept")
        with pytest.raises(ResourceError, match="No space left on device"):
            write_atomic(small / "big.bin", b"x" * 1_000_000)
        assert [p.name for p in small.iterdir()] == ["record.json"]
        assert (small / "record.json").read_text() == "kept"
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_json_refuses_not_a_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"mAP": float("nan")})
    write_json(tmp_path / "b.json", {"mAP": 0.5})
    assert read_json(tmp_path / "b.json") == {"mAP": 0.5}


def test_hash_is_that_of_the_content(tmp_path: Path) -> None:
    path = write_atomic(tmp_path / "a", b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_remove_tree_takes_files_folders_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for path in (tmp_path / "folder", write_atomic(tmp_path / "file", "x"), tmp_path / "absent"):
        remove_tree(path)
        assert not path.exists()


@pytest.mark.parametrize("name", ["", "/"])
def test_a_path_without_a_name_is_refused(name: str) -> None:
    with pytest.raises(ResourceError, match="it names no file"):
        write_atomic(Path(name), "text")


def test_json_without_an_end_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(tmp_path / "deep.json")
