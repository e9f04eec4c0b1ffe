"""Records under fire: killed at every system call of a write, torn at every byte, flipped at every bit, power lost."""

import itertools
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reid.errors import StudyDamaged
from results import (
    DiskCache,
    Record,
    Study,
    commit,
    commit_artifact,
    commit_fact,
    create_study,
    layout,
    note_started,
    open_study,
)

pytestmark = pytest.mark.fault

DEFINITION: dict[str, Any] = {
    "name": "torn", "space": {}, "dataset": {}, "objectives": {"mAP": "maximize", "latency_ms": "minimize"},
    "limits": [], "target": {}, "protocol": "none", "reference_point": None, "seed": 0, "sampler": "random",
    "versions": {},
}  # fmt: skip
NOW = "2026-11-21T08:00:00.000+00:00"


def record(number: int) -> Record:
    """A small complete trial."""
    metrics = {"mAP": 0.5 + 0.01 * number, "latency_ms": 5.0 + number}
    return Record(
        number=number, status="complete", params={"prune_rate": 0.5}, config={}, metrics=metrics,
        latency_trusted=True, started_at=NOW, finished_at=NOW,
    )  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study with trials 0, 1 and 2 committed."""
    made = create_study(tmp_path / "study", DEFINITION)
    for number in range(3):
        commit(made, record(number))
    return made


# Reads "N ATTEMPT" lines; for each, a fork begins trial 3, commits its artifact and its record, and dies at its
# N-th moment before or after a system call that writes. Says how the fork ended.
DRIVER = """
import io, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_torn_records import record
from results import commit, commit_artifact, note_started

study, deadly, moment = Path(sys.argv[1]), 0, 0

def pass_moment():
    global moment
    if moment == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    moment += 1

def fatal(function):
    def call(*args, **kwargs):
        pass_moment()
        result = function(*args, **kwargs)
        pass_moment()
        return result
    return call

def run(attempt):
    for name in ("open", "fsync", "replace", "link", "unlink", "mkdir", "rmdir"):
        setattr(os, name, fatal(getattr(os, name)))
    io.open = fatal(io.open)
    note_started(study, 3, attempt, {"prune_rate": 0.5})
    commit_artifact(study, 3, study.parent / "out")
    commit(study, record(3))

for line in sys.stdin:
    deadly, attempt = map(int, line.split())
    child = os.fork()
    if child == 0:
        run(attempt)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_d2_a_driver_killed_at_any_system_call_loses_only_the_trial_it_was_writing(
    study: Study, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.onnx").write_bytes(b"onnx" * 100)
    command = [sys.executable, "-c", DRIVER, study.path, Path(__file__).parent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        deaths = kill_at_every_moment(driver, study)
        driver.communicate()
    assert deaths >= 60
    assert study.records()[3] == record(3)
    assert (study.artifact(3) / "model.onnx").read_bytes() == b"onnx" * 100
    assert study.started() == ()


def kill_at_every_moment(driver: subprocess.Popen[str], study: Study) -> int:
    """Let the driver die at each moment until it survives; how often it died."""
    assert driver.stdin is not None
    assert driver.stdout is not None
    for deadly in itertools.count():
        attempt = next((note.attempt for note in study.started()), 0) + 1
        driver.stdin.write(f"{deadly} {attempt}\n")
        driver.stdin.flush()
        exit_code = int(driver.stdout.readline())
        found = open_study(study.path).records()
        assert found[:3] == [record(number) for number in range(3)]
        assert study.damaged() == ()
        if exit_code == 0:
            return deadly
        assert exit_code == -signal.SIGKILL
        if len(found) == 4:
            # Killed after the commit: whole, with its artifact. Undone, to die at the next moment.
            assert found[3] == record(3)
            study.artifact(3)
            layout.record_path(study.path, 3).unlink()
    raise AssertionError("unreachable")


def test_d3_a_record_torn_at_any_byte_is_named_and_the_others_are_read(study: Study) -> None:
    for number in range(3):
        path = layout.record_path(study.path, number)
        whole = path.read_bytes()
        others = [record(other) for other in range(3) if other != number]
        # The last byte is the newline; without it the record still is whole.
        for cut in range(len(whole) - 1):
            path.write_bytes(whole[:cut])
            with pytest.raises(StudyDamaged, match=path.name):
                study.record(number)
            if cut % 200 == 0:
                with pytest.raises(StudyDamaged, match=path.name):
                    study.records()
                assert replace(study, salvage=True).records() == others
        path.write_bytes(whole[:-1])
        assert study.record(number) == record(number)
        path.write_bytes(whole)
    assert commit(study, record(3)).exists()
    assert len(study.records()) == 4


def test_d3_a_temporary_torn_at_any_byte_disturbs_nothing(study: Study) -> None:
    content = layout.record_path(study.path, 2).read_bytes()
    beside = study.path / "trials" / ".000003.0123abcd.tmp.json"
    for cut in range(0, len(content), 25):
        beside.write_bytes(content[:cut])
        assert study.records() == [record(number) for number in range(3)]
    assert study.damaged() == ()
    commit(study, record(3))
    assert len(study.records()) == 4


def test_d4_a_bit_flipped_in_any_byte_is_named(study: Study) -> None:
    path = layout.record_path(study.path, 1)
    whole = path.read_bytes()
    for offset in range(len(whole)):
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << offset * 5 % 8
        path.write_bytes(flipped)
        with pytest.raises(StudyDamaged, match=path.name) as caught:
            study.record(1)
        assert caught.value.exit_code == 3
    assert len(study.damaged()) == 1
    assert replace(study, salvage=True).records() == [record(0), record(2)]


def test_d4_a_flipped_bit_in_the_definition_is_named(study: Study) -> None:
    path = study.path / "study.json"
    whole = path.read_bytes()
    for offset in range(0, len(whole) - 1, 7):
        flipped = bytearray(whole)
        flipped[offset] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(StudyDamaged, match=r"study\.json"):
            open_study(study.path)


class Disk:
    """What a disk holds after a power loss: only what was synchronised, files and folder entries apart."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._contents: dict[int, bytes] = {}
        self._entries: dict[int, dict[str, tuple[int, bool]]] = {}
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._observe)

    def _observe(self, descriptor: int) -> None:
        self._fsync(descriptor)
        inode = os.fstat(descriptor).st_ino
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            self._entries[inode] = {e.name: (e.stat().st_ino, e.is_dir()) for e in path.iterdir()}
        else:
            self._contents[inode] = path.read_bytes()

    def restore(self, folder: Path, target: Path) -> Path:
        """Lay out below `target` what is left of `folder`."""
        self._restore(folder.stat().st_ino, target)
        return target

    def _restore(self, inode: int, target: Path) -> None:
        target.mkdir()
        for name, (child, is_folder) in self._entries.get(inode, {}).items():
            if is_folder:
                self._restore(child, target / name)
            else:
                (target / name).write_bytes(self._contents.get(child, b""))


def test_d9_what_was_committed_survives_a_power_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out" / "inner").mkdir(parents=True)
    (tmp_path / "out" / "model.onnx").write_bytes(b"onnx" * 100)
    (tmp_path / "out" / "inner" / "spec.json").write_text("{}")
    disk = Disk(monkeypatch)
    losses = (tmp_path / f"loss-{index}" for index in itertools.count())

    def after_power_loss() -> Study:
        left = disk.restore(tmp_path, next(losses))
        return open_study(left / "study")

    study = create_study(tmp_path / "study", DEFINITION)
    assert after_power_loss().definition == study.definition
    for number in range(3):
        note_started(study, number, 1, {"prune_rate": 0.5})
        assert [note.number for note in after_power_loss().started()] == [number]
        commit_artifact(study, number, tmp_path / "out")
        commit(study, record(number))
        left = after_power_loss()
        assert left.records() == study.records()
        assert (left.artifact(number) / "inner" / "spec.json").read_text() == "{}"
    commit_fact(study, 1, "test", {"mAP": 0.5})
    assert after_power_loss().test_record(1) == {"mAP": 0.5}


def test_d9_a_cached_stage_survives_a_power_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(work: Path) -> None:
        (work / "inner").mkdir()
        (work / "inner" / "model.bin").write_bytes(b"weights")

    disk = Disk(monkeypatch)
    DiskCache(tmp_path / "cache").get_or_compute("dense-1", compute)
    left = disk.restore(tmp_path / "cache", tmp_path / "left")
    folder, cached = DiskCache(left).get_or_compute("dense-1", compute)
    assert cached
    assert (folder / "inner" / "model.bin").read_bytes() == b"weights"
