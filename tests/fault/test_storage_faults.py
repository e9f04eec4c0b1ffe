"""A full disk, temporaries on another filesystem, many writers, stale handles, jumping clocks (S1, S3, S5, S9)."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reid.errors import ResourceError
from results import Study, commit, commit_artifact, open_study
from results.page_story import ledger, volume_over_time
from results.report import write_report
from tests.fault.drive import ROOT
from tests.fault.filesystem import filesystem, fill
from tests.results.samples import make_record, make_study

pytestmark = pytest.mark.fault


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own with 512 KiB."""
    with filesystem(tmp_path / "small", "512k") as folder:
        yield folder


def _record(study: Study, _: Path) -> None:
    commit(study, make_record(1, artifact=None))


def _artifact(study: Study, elsewhere: Path) -> None:
    (elsewhere / "model.onnx").write_bytes(os.urandom(100_000))
    commit_artifact(study, 1, elsewhere)


def _report(study: Study, _: Path) -> None:
    write_report(study, study.path / "report.html")


@pytest.mark.parametrize("write", [_record, _artifact, _report])
def test_s1_a_full_disk_is_told_and_costs_nothing_that_was_there(
    write: Callable[[Study, Path], None], small: Path, tmp_path: Path
) -> None:
    study = make_study(small)
    commit(study, make_record(0, artifact=None))
    filler = fill(small)
    elsewhere = tmp_path / "artifact"
    elsewhere.mkdir()
    with pytest.raises(ResourceError, match="No space left on device"):
        write(study, elsewhere)
    again = open_study(study.path)
    assert [record.number for record in again.records()] == [0]
    assert again.damaged() == ()
    filler.unlink()
    if write is not _report:  # the page alone is larger than this filesystem
        write(study, elsewhere)
    commit(study, make_record(2, artifact=None))
    assert {0, 2} <= {record.number for record in open_study(study.path).records()}


def test_s3_a_temporary_folder_elsewhere_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one filesystem only")
    monkeypatch.setenv("TMPDIR", "/dev/shm")
    moved: list[bool] = []
    replace = os.replace

    def noted(source: str, target: str) -> None:
        moved.append(Path(source).parent.stat().st_dev == Path(target).parent.stat().st_dev)
        replace(source, target)

    monkeypatch.setattr(os, "replace", noted)
    study = make_study(tmp_path)
    commit(study, make_record(0, artifact=None))
    write_report(study, tmp_path / "report.html")
    assert moved
    assert all(moved), "a rename between filesystems is a copy, which a crash leaves half done"


def test_s9_a_clock_that_jumps_changes_neither_order_nor_durations(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for number, (begun, ended) in enumerate(
        [("2026-11-21T08:00", "2026-11-22T08:00"), ("2026-11-22T08:01", "2026-11-20T08:02")]
    ):
        record = make_record(number, started_at=f"{begun}:00+00:00", finished_at=f"{ended}:00+00:00")
        commit(study, record)
    records = open_study(study.path).records()
    assert [record.number for record in records] == [0, 1]
    line = volume_over_time(
        records, {"mAP": "maximize", "latency_ms": "minimize"}, {"mAP": 0.0, "latency_ms": 20.0}
    )
    assert [count for count, *_ in line] == [1, 2]
    assert all(hours >= 0 for _, hours, _ in line)
    assert ledger(records)["wall"] >= 0


WRITER = """
import sys
from pathlib import Path
from results import commit
from reid.errors import ConfigError
from tests.fault.drive import ROOT
from tests.fault.filesystem import fill, filesystem
from tests.results.samples import make_record
study, worker, count, won = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), []
for number in range(count):
    try:
        commit(study, make_record(number, artifact=None, worker={"host": f"w{worker}"}))
    except ConfigError:
        continue
    won.append(number)
print(*won)
"""


def test_s5_of_eight_writers_of_each_record_one_wins_and_none_is_mixed(tmp_path: Path) -> None:
    """S5: 8 processes, 10,000 attempts, as if a lock had been lost on a network filesystem."""
    study, count = make_study(tmp_path), 1250
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(study.path), str(worker), str(count)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for worker in range(8)
    ]
    won = {worker: process.communicate()[0].split() for worker, process in enumerate(writers)}
    owners = {int(number): f"w{worker}" for worker, numbers in won.items() for number in numbers}
    assert sum(len(numbers) for numbers in won.values()) == count
    again = open_study(study.path)
    assert again.damaged() == ()
    assert {record.number: record.worker["host"] for record in again.records()} == owners


@pytest.mark.parametrize("call", ["link", "replace", "fsync"])
def test_s5_a_stale_handle_is_an_error_and_the_next_try_works(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path)
    commit(study, make_record(0, artifact=None))

    def stale(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, stale)
        with pytest.raises(ResourceError, match=r"trials.*Stale file handle"):
            commit(study, make_record(1, artifact=None))
    assert [record.number for record in open_study(study.path).records()] in ([0], [0, 1])
    if len(open_study(study.path).records()) == 1:
        commit(study, make_record(1, artifact=None))
    assert open_study(study.path).damaged() == ()
