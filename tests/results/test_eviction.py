"""S10, the cache's half: a limit on its size, what goes first, and what never goes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.errors import ConfigError
from results import DiskCache
from results.eviction import evict, size_of

pytestmark = pytest.mark.fault

READER = """
import sys
from pathlib import Path
from results import DiskCache
with DiskCache(Path(sys.argv[1])) as cache:
    cache.get_or_compute(sys.argv[2], lambda work: None)
    print("reads", flush=True)
    sys.stdin.readline()
"""


def fills(count: int) -> Callable[[Path], None]:
    """A stage of `count` bytes."""

    def compute(work: Path) -> None:
        (work / "model.bin").write_bytes(b"x" * count)

    return compute


def stages(cache: Path) -> set[str]:
    """What is cached or begun."""
    return {path.name for path in cache.iterdir() if path.is_dir()}


def keep(cache: Path, *keys: str, limit: int | None = None, size: int = 10_000) -> None:
    """One trial after the other, each with one stage."""
    for key in keys:
        with DiskCache(cache, limit) as one:
            one.get_or_compute(key, fills(size))


def test_the_least_recently_used_stage_goes_first(tmp_path: Path) -> None:
    keep(tmp_path, "dense-1", "dense-2", "dense-3")
    for age, key in enumerate(("dense-2", "dense-3", "dense-1")):
        os.utime(tmp_path / f"{key}.use", (1e9 + age, 1e9 + age))
    os.utime(tmp_path / "dense-2", (1e9, 1e9))
    os.utime(tmp_path / "dense-3", (1e9, 1e9))
    os.utime(tmp_path / "dense-1", (1e9, 1e9))
    keep(tmp_path, "dense-4", limit=35_000)
    assert stages(tmp_path) == {"dense-1", "dense-3", "dense-4"}
    assert size_of(tmp_path) <= 35_000


def test_an_evicted_stage_is_computed_again(tmp_path: Path) -> None:
    keep(tmp_path, "dense-1")
    assert evict(tmp_path, 0) > 10_000
    with DiskCache(tmp_path) as cache:
        folder, cached = cache.get_or_compute("dense-1", fills(7))
        assert not cached
        assert (folder / "model.bin").stat().st_size == 7


def test_what_a_trial_uses_stays_until_it_ends(tmp_path: Path) -> None:
    with DiskCache(tmp_path, 0) as trial:
        first, _ = trial.get_or_compute("dense-1", fills(10))
        trial.get_or_compute("prune-1", fills(10))
        assert (first / "model.bin").exists()
        assert stages(tmp_path) == {"dense-1", "prune-1"}
    assert stages(tmp_path) == set()


def test_what_another_process_reads_or_computes_stays(tmp_path: Path) -> None:
    keep(tmp_path, "dense-1", "dense-2")
    command = [sys.executable, "-c", READER, str(tmp_path), "dense-1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reads\n"
        keep(tmp_path, "dense-3", limit=0)
        assert stages(tmp_path) == {"dense-1"}
        reader.kill()
    # The kernel frees what a dead process held.
    evict(tmp_path, 0)
    assert stages(tmp_path) == set()


def test_what_a_crash_left_half_done_counts_and_goes(tmp_path: Path) -> None:
    def crash(work: Path) -> None:
        (work / "epoch-1").write_bytes(b"x" * 10_000)
        raise RuntimeError("killed")

    with DiskCache(tmp_path) as cache, pytest.raises(RuntimeError):
        cache.get_or_compute("dense-1", crash)
    keep(tmp_path, "dense-2", limit=15_000)
    assert stages(tmp_path) == {"dense-2"}


def test_a_stage_that_another_process_removes_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(work: Path) -> None:
        fills(10_000)(work)
        (work / "epochs").mkdir()

    with DiskCache(tmp_path) as cache:
        cache.get_or_compute("dense-1", compute)
    scan = os.scandir

    def too_late(path: str) -> object:
        if str(path).endswith("epochs"):
            raise FileNotFoundError(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", too_late)
    assert size_of(tmp_path / "dense-1") > 10_000
    assert evict(tmp_path, 10**9) == 0


def test_a_negative_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        DiskCache(tmp_path, -1)
