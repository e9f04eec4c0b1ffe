import errno
import fcntl
import os
import shutil
import time
from pathlib import Path

import pytest

from reid.data.folder import building
from reid.errors import ConfigError, ResourceError
from reid.files import write_blocks


def test_the_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "data"
    with building(target) as work:
        write_blocks(work / "a", [b"12", b"3"])
        assert not target.exists()
        assert work.parent == target.parent
    assert (target / "a").read_bytes() == b"123"
    assert list(target.parent.iterdir()) == [target]


def test_an_empty_folder_may_become_the_target(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with building(tmp_path / "data") as work:
        write_blocks(work / "a", [])
    assert (tmp_path / "data" / "a").read_bytes() == b""


def fail_inside(target: Path, error: type[BaseException]) -> None:
    with building(target) as work:
        write_blocks(work / "a", [b"1"])
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        fail_inside(tmp_path / "data", error)
    assert not list(tmp_path.iterdir())


def test_a_target_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").write_text("kept")
    with pytest.raises(ConfigError, match="is not empty"), building(tmp_path / "data"):
        pass
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ConfigError, match="is a file; name a folder"), building(tmp_path / "file"):
        pass
    assert (tmp_path / "data" / "mine").read_text() == (tmp_path / "file").read_text() == "kept"


def test_a_place_that_cannot_be_written_is_a_resource_error() -> None:
    target = Path("/proc/reid-pareto/data")
    with pytest.raises(ResourceError, match=f"cannot write {target}"), building(target):
        pass


def test_blocks_never_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("kept")
    with pytest.raises(FileExistsError):
        write_blocks(tmp_path / "a", [b"lost"])
    assert (tmp_path / "a").read_text() == "kept"


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source.jpg"
    with pytest.raises(ResourceError, match=f"cannot make .*data, because of {source}: No such file"):
        fill_from(tmp_path / "data", source)


def test_a_full_disk_is_not_the_fault_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying in the kernel, the system names the source."""
    (tmp_path / "source.jpg").write_bytes(b"1")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "sendfile", full)
    with pytest.raises(ResourceError, match=r"cannot write .*data: No space left"):
        fill_from(tmp_path / "data", tmp_path / "source.jpg")


def fill_from(target: Path, source: Path) -> None:
    with building(target) as work:
        shutil.copyfile(source, work / "a")


def test_what_a_killed_builder_left_goes_and_what_another_fills_stays(tmp_path: Path) -> None:
    left, other, young = (tmp_path / f".data.{name * 8}.tmp" for name in "abc")
    for folder in (left, other, young):
        folder.mkdir()
    long_ago = time.time() - 2 * 24 * 3600
    for folder in (left, other):
        os.utime(folder, (long_ago, long_ago))
    descriptor = os.open(other, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with building(tmp_path / "data"):
        pass
    os.close(descriptor)
    assert sorted(tmp_path.iterdir()) == sorted([other, young, tmp_path / "data"])
