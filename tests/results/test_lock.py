import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reid.errors import ResourceError, StudyInUse
from results.lock import StudyLock, lock_holder

HOLD = """
import sys, time
from pathlib import Path
from results.lock import StudyLock
with StudyLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

FORK = """
import os, sys, time
from pathlib import Path
from results.lock import StudyLock
with StudyLock(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(60)
    print(child, flush=True)
print("released", flush=True)
"""


@pytest.fixture
def rival(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another driver that holds the study at tmp_path."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.fault
def test_d8_second_driver_is_told_who_holds_the_study(tmp_path: Path, rival: subprocess.Popen[str]) -> None:
    begun = time.monotonic()
    with pytest.raises(StudyInUse) as caught, StudyLock(tmp_path):
        pytest.fail("two drivers hold one study")
    assert time.monotonic() - begun <= 2
    assert caught.value.exit_code == 4
    assert f"process {rival.pid} on {socket.gethostname()}" in str(caught.value)
    assert str(lock_holder(tmp_path)) in str(caught.value)


@pytest.mark.fault
def test_d8_a_killed_driver_frees_the_study(tmp_path: Path, rival: subprocess.Popen[str]) -> None:
    rival.kill()
    rival.wait()
    assert lock_holder(tmp_path) is None
    with StudyLock(tmp_path):
        holder = lock_holder(tmp_path)
        assert holder is not None
        assert holder.pid == os.getpid()


@pytest.mark.fault
def test_d8_a_stopped_driver_keeps_the_study(tmp_path: Path, rival: subprocess.Popen[str]) -> None:
    rival.send_signal(signal.SIGSTOP)
    with pytest.raises(StudyInUse), StudyLock(tmp_path):
        pytest.fail("the lock of a stopped driver was stolen")
    rival.send_signal(signal.SIGCONT)


def test_is_free_again_after_use_and_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), StudyLock(tmp_path):
            raise ZeroDivisionError
        assert lock_holder(tmp_path) is None


def test_children_that_outlive_the_driver_do_not_hold_the_study(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORK, tmp_path], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        child = int(driver.stdout.readline())
        try:
            assert driver.stdout.readline() == "released\n"
            os.kill(child, 0)
            assert lock_holder(tmp_path) is None
        finally:
            os.kill(child, signal.SIGKILL)


def test_watching_takes_nothing_from_a_new_driver(tmp_path: Path) -> None:
    watch = "from pathlib import Path\nimport sys\nfrom results.lock import lock_holder\n"
    watch += "while True: lock_holder(Path(sys.argv[1]))"
    with StudyLock(tmp_path):
        pass
    with subprocess.Popen([sys.executable, "-c", watch, tmp_path]) as watcher:
        for _ in range(50):
            with StudyLock(tmp_path):
                pass
        watcher.kill()


def test_makes_the_folder_for_its_owner_only(tmp_path: Path) -> None:
    with StudyLock(tmp_path / "new"):
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "new" / "study.lock").stat().st_mode) == 0o600


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    assert lock_holder(tmp_path / "absent") is None


def test_a_place_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"study\.lock"), StudyLock(tmp_path / "file"):
        pytest.fail("locked a file")
