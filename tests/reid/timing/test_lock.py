"""`DeviceLock` within one process: who may hold it together, and what its files are."""

import fcntl
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from reid.errors import ConfigError, ResourceError
from reid.timing import DeviceLock


def free_for(path: Path, mode: int) -> bool:
    """Whether the kernel would grant `mode` on the file at once to somebody else."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def wait_until_taken(path: Path) -> None:
    end = time.monotonic() + 5
    while free_for(path, fcntl.LOCK_SH):
        assert time.monotonic() < end, f"nobody takes {path.name}"
        os.sched_yield()


def test_shared_lets_others_share_and_nobody_alone(tmp_path: Path) -> None:
    lock = DeviceLock("cpu", folder=tmp_path)
    with lock.shared():
        assert free_for(lock.path, fcntl.LOCK_SH)
        assert not free_for(lock.path, fcntl.LOCK_EX)
    assert free_for(lock.path, fcntl.LOCK_EX)


def test_exclusive_lets_nobody_in(tmp_path: Path) -> None:
    lock = DeviceLock("cpu", folder=tmp_path)
    with lock.exclusive():
        assert not free_for(lock.path, fcntl.LOCK_SH)
    assert free_for(lock.path, fcntl.LOCK_EX)


def test_an_error_gives_it_back(tmp_path: Path) -> None:
    lock = DeviceLock("cpu", folder=tmp_path)
    with pytest.raises(ZeroDivisionError), lock.exclusive():
        1 / 0  # noqa: B018
    assert free_for(lock.path, fcntl.LOCK_EX)


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    """One lock object, many threads: the counter would lose increments were two of them inside."""
    lock = DeviceLock("cpu", folder=tmp_path)
    inside, most, done = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, done
        for _ in range(40):
            with lock.exclusive():
                inside += 1
                most = max(most, inside)
                os.sched_yield()
                inside -= 1
                done += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 160)


def test_a_waiting_timer_stops_new_steps(tmp_path: Path) -> None:
    lock = DeviceLock("cpu", folder=tmp_path)
    order: list[str] = []

    def time_it() -> None:
        with lock.exclusive():
            order.append("timer")

    def step() -> None:
        with lock.shared():
            order.append("step")

    timer, late = (threading.Thread(target=work, daemon=True) for work in (time_it, step))
    turnstile = lock.path.with_suffix(".turnstile")
    with lock.shared():
        timer.start()
        wait_until_taken(turnstile)
        late.start()
        late.join(timeout=0.1)
        assert order == []
    timer.join()
    late.join()
    assert order == ["timer", "step"]


def test_a_step_within_a_step_or_a_timing_does_not_wait_for_itself(tmp_path: Path) -> None:
    lock = DeviceLock("cpu", folder=tmp_path)
    with lock.shared(), DeviceLock("cpu", folder=tmp_path).shared():
        assert not free_for(lock.path, fcntl.LOCK_EX)
    with lock.exclusive(), lock.exclusive(), lock.shared():
        assert not free_for(lock.path, fcntl.LOCK_SH)
    assert free_for(lock.path, fcntl.LOCK_EX)


def test_timing_within_a_step_is_refused(tmp_path: Path) -> None:
    lock = DeviceLock("cuda:1", folder=tmp_path)
    with lock.shared(), pytest.raises(ConfigError, match="leave the shared lock of cuda:1"), lock.exclusive():
        pass


def test_devices_have_locks_of_their_own(tmp_path: Path) -> None:
    first, second = DeviceLock("cuda:0", folder=tmp_path), DeviceLock("cuda:1", folder=tmp_path)
    with first.exclusive(), second.exclusive():
        assert first.path != second.path


@pytest.mark.parametrize("device", ["", "../cpu", "cpu/0", "cuda:", "cuda:x", "CPU"])
def test_a_device_that_is_no_name_is_refused(device: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device must be a name like"):
        DeviceLock(device, folder=tmp_path)


def test_a_removed_file_is_replaced_and_still_locks(tmp_path: Path) -> None:
    """A cleaner of temporary folders removes the file while it is waited for."""
    lock = DeviceLock("cpu", folder=tmp_path)
    entered = threading.Event()

    def wait_for_it() -> None:
        with lock.exclusive():
            entered.set()
            assert not free_for(lock.path, fcntl.LOCK_SH)

    waiting = threading.Thread(target=wait_for_it, daemon=True)
    with lock.shared():
        waiting.start()
        wait_until_taken(lock.path.with_suffix(".turnstile"))
        lock.path.unlink()
    waiting.join(timeout=5)
    assert entered.is_set()
    assert lock.path.exists()


def test_the_default_folder_is_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REID_PARETO_LOCKS")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lock = DeviceLock("cpu")
    assert lock.path.parent == tmp_path / f"reid-pareto-locks-{os.getuid()}"
    assert stat.S_IMODE(lock.path.parent.stat().st_mode) == 0o700
    with lock.shared():
        assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("spoil", ["mode", "link"])
def test_a_default_folder_of_others_is_refused(
    spoil: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REID_PARETO_LOCKS")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"reid-pareto-locks-{os.getuid()}"
    if spoil == "mode":
        folder.mkdir(mode=0o700)
        folder.chmod(0o777)
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="REID_PARETO_LOCKS"):
        DeviceLock("cpu")


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REID_PARETO_LOCKS", str(tmp_path / "here"))
    assert DeviceLock("cpu").path.parent == tmp_path / "here"


def test_a_folder_that_cannot_be_made_or_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"cannot make the folder of device locks .*file"):
        DeviceLock("cpu", folder=tmp_path / "file" / "locks")
    lock = DeviceLock("cpu", folder=tmp_path / "locks")
    lock.path.mkdir()
    with pytest.raises(ResourceError, match=r"cannot open the device lock .*cpu\.lock"), lock.shared():
        pass


def test_what_is_used_beside_a_device_is_held_with_it(tmp_path: Path) -> None:
    """A GPU trains what the CPU times: whoever times on either waits for the step, and steps wait for both."""
    times_cpu = DeviceLock("cpu", beside=("cpu", "cuda:0"), folder=tmp_path)
    times_gpu = DeviceLock("cuda:0", beside=("cpu", "cuda:0"), folder=tmp_path)
    with times_cpu.shared():
        assert not any(free_for(one.path, fcntl.LOCK_EX) for one in (times_cpu, times_gpu))
        assert all(free_for(one.path, fcntl.LOCK_SH) for one in (times_cpu, times_gpu))
    with times_gpu.exclusive():
        assert not free_for(times_gpu.path, fcntl.LOCK_SH)
        assert free_for(times_cpu.path, fcntl.LOCK_SH), "steps on the CPU alone go on"
        assert not free_for(times_cpu.path, fcntl.LOCK_EX), "its timings wait"
    assert all(free_for(one.path, fcntl.LOCK_EX) for one in (times_cpu, times_gpu))
