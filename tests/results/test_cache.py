import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.errors import ConfigError, DataError, NotHere, ResourceError, WorkerLost
from reid.stages import StageCache, stage_key
from results import DiskCache
from results.manifest import MANIFEST

KEY = stage_key("dense", 1, {"epochs": 3})


def writes(text: str) -> Callable[[Path], None]:
    """A stage that writes one file."""

    def compute(work: Path) -> None:
        (work / "model.bin").write_text(text)

    return compute


def never(work: Path) -> None:
    """A stage that must not be computed."""
    pytest.fail(f"computed in {work}")


def test_computes_once_and_then_serves(tmp_path: Path) -> None:
    cache: StageCache = DiskCache(tmp_path / "cache")
    folder, cached = cache.get_or_compute(KEY, writes("weights"))
    assert (folder, cached) == (tmp_path / "cache" / KEY, False)
    again, cached = DiskCache(tmp_path / "cache").get_or_compute(KEY, never)
    assert (again, cached) == (folder, True)
    assert (again / "model.bin").read_text() == "weights"
    assert not (tmp_path / "cache" / f"{KEY}.work").exists()


def test_other_keys_are_other_stages(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    first, _ = cache.get_or_compute("dense-1", writes("1"))
    second, cached = cache.get_or_compute("dense-2", writes("2"))
    assert not cached
    assert (first / "model.bin").read_text() + (second / "model.bin").read_text() == "12"


def test_a_stage_may_ask_for_another_within(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)

    def compute(work: Path) -> None:
        folder, _ = cache.get_or_compute("dense-1", writes("dense"))
        (work / "model.bin").write_text((folder / "model.bin").read_text() + " pruned")

    folder, _ = cache.get_or_compute("prune-1", compute)
    assert (folder / "model.bin").read_text() == "dense pruned"


@pytest.mark.fault
@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.bin").write_text("weighty"),
        lambda folder: (folder / "model.bin").write_text("w"),
        lambda folder: (folder / "model.bin").unlink(),
        lambda folder: (folder / "extra").touch(),
        lambda folder: (folder / MANIFEST).unlink(),
        lambda folder: (folder / MANIFEST).write_text("{"),
    ],
    ids=["altered", "short", "missing", "extra", "uncommitted", "torn manifest"],
)
def test_s8_a_poisoned_entry_is_computed_anew(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    cache = DiskCache(tmp_path)
    folder, _ = cache.get_or_compute(KEY, writes("weights"))
    damage(folder)
    again, cached = cache.get_or_compute(KEY, writes("weights"))
    assert not cached
    assert sorted(entry.name for entry in again.iterdir()) == [MANIFEST, "model.bin"]
    assert cache.get_or_compute(KEY, never) == (folder, True)


def test_a_wrong_configuration_is_remembered_with_its_reason(tmp_path: Path) -> None:
    def compute(work: Path) -> None:
        (work / "half").touch()
        raise ConfigError("knn must be at least 2\nbut is 1")

    with pytest.raises(ConfigError, match="knn must be at least 2"):
        DiskCache(tmp_path).get_or_compute(KEY, compute)
    with pytest.raises(ConfigError, match=r"knn must be at least 2 but is 1 \(known from .*failed\.json"):
        DiskCache(tmp_path).get_or_compute(KEY, never)
    assert not (tmp_path / f"{KEY}.work").exists()
    (tmp_path / f"{KEY}.failed.json").unlink()
    assert DiskCache(tmp_path).get_or_compute(KEY, writes("weights"))[1] is False


def test_what_one_machine_cannot_do_another_may(tmp_path: Path) -> None:
    def compute(work: Path) -> None:
        (work / "half").touch()
        raise NotHere("precision bf16 gives wrong results on a CPU")

    with pytest.raises(ConfigError, match="on a CPU"):
        DiskCache(tmp_path).get_or_compute(KEY, compute)
    assert DiskCache(tmp_path).get_or_compute(KEY, writes("weights"))[1] is False


def test_a_torn_memory_of_a_failure_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / f"{KEY}.failed.json").write_text("{")
    assert DiskCache(tmp_path).get_or_compute(KEY, writes("weights"))[1] is False
    assert not (tmp_path / f"{KEY}.failed.json").exists()


@pytest.mark.parametrize(
    "error", [ResourceError, WorkerLost, DataError, RuntimeError, MemoryError, KeyboardInterrupt]
)
def test_any_other_failure_is_forgotten_but_its_work_continued(
    tmp_path: Path, error: type[BaseException]
) -> None:
    cache = DiskCache(tmp_path)

    def breaks(work: Path) -> None:
        (work / "epoch-1").touch()
        raise error("gone")

    with pytest.raises(error, match="gone"):
        cache.get_or_compute(KEY, breaks)
    folder, cached = cache.get_or_compute(KEY, writes("weights"))
    assert not cached
    assert (folder / "epoch-1").exists()


CONTINUE = """
import os, sys, time
from pathlib import Path
from results import DiskCache

def compute(work):
    for epoch in range(4):
        if not (work / f"epoch-{epoch}").exists():
            (work / f"epoch-{epoch}").write_text(str(os.getpid()))
            print("epoch", epoch, flush=True)
            time.sleep(60 if sys.argv[2] == "hang" and epoch == 1 else 0)

folder, cached = DiskCache(Path(sys.argv[1])).get_or_compute("dense-1", compute)
print("cached" if cached else "computed", flush=True)
"""


def start(folder: Path, manner: str) -> subprocess.Popen[str]:
    """Another process that computes four epochs, or hangs after the second."""
    command = [sys.executable, "-c", CONTINUE, str(folder), manner]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.fault
def test_work_of_a_killed_process_is_continued(tmp_path: Path) -> None:
    with start(tmp_path, "hang") as doomed:
        assert doomed.stdout is not None
        assert [doomed.stdout.readline() for _ in range(2)] == ["epoch 0\n", "epoch 1\n"]
        waiting = start(tmp_path, "run")
        time.sleep(0.3)
        assert waiting.poll() is None
        doomed.send_signal(signal.SIGKILL)
    said, _ = waiting.communicate(timeout=10)
    assert said.splitlines() == ["epoch 2", "epoch 3", "computed"]
    pids = [(tmp_path / "dense-1" / f"epoch-{epoch}").read_text() for epoch in range(4)]
    assert pids == [str(doomed.pid)] * 2 + [str(waiting.pid)] * 2


@pytest.mark.fault
def test_processes_that_need_the_same_stage_compute_it_once(tmp_path: Path) -> None:
    rivals = [start(tmp_path, "run") for _ in range(3)]
    said = [rival.communicate(timeout=20)[0].split()[-1] for rival in rivals]
    assert sorted(said) == ["cached", "cached", "computed"]


def test_threads_that_need_the_same_stage_compute_it_once(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    computed: list[int] = []

    def compute(work: Path) -> None:
        computed.append(threading.get_ident())
        time.sleep(0.05)
        writes("weights")(work)

    threads = [threading.Thread(target=cache.get_or_compute, args=(KEY, compute)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 1


def test_remains_of_broken_off_writes_are_not_committed(tmp_path: Path) -> None:
    work = tmp_path / f"{KEY}.work"
    work.mkdir()
    (work / ".model.0123abcd.tmp.bin").write_text("half")
    folder, _ = DiskCache(tmp_path).get_or_compute(KEY, writes("weights"))
    assert sorted(entry.name for entry in folder.iterdir()) == [MANIFEST, "model.bin"]


@pytest.mark.parametrize(
    "key", ["", "../x", "/abs", "a/b", "a\0", ".hidden", "x" * 201, "x.work", "x.lock", "x\n"]
)
def test_x8_a_key_stays_below_the_cache(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="key of a stage"):
        DiskCache(tmp_path).get_or_compute(key, never)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="file"):
        DiskCache(tmp_path / "file").get_or_compute(KEY, never)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for index in range(20):
        cache.get_or_compute(f"dense-{index}", writes("weights"))
    assert len(os.listdir("/proc/self/fd")) == before
    with cache:
        cache.get_or_compute("dense-0", never)
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before
