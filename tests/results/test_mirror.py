"""The mirror that all readers of a study in an object store share; the store is a folder, asked through pyarrow."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reid.errors import ResourceError
from results import Study, commit_fact, open_study
from results.layout import trials_folder
from results.lease import LEASE, StudyLease, lease_holder, lease_of
from results.remote import Remote, open_remote


@pytest.fixture
def uri(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a store that holds a study."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return study.path.as_uri()


def test_a_fact_that_is_committed_while_another_reader_fetches_stays(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of review asks every few seconds, and picks in a thread of its own."""
    reader = open_study(uri)
    commits = threading.Thread(target=commit_fact, args=(reader, 5, "test", {"mAP": 0.7}))
    listed = Remote.names

    def while_another_commits(self: Remote, folder: str) -> dict[str, int]:
        found = listed(self, folder)
        commits.start()
        commits.join(0.5)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Remote, "names", while_another_commits)
        reader.refresh()
    commits.join()
    assert reader.test_record(5) == {"mAP": 0.7}
    assert open_study(uri).test_record(5) == {"mAP": 0.7}


def test_what_another_process_is_writing_is_left_alone(uri: str) -> None:
    reader = open_study(uri)
    temporary = trials_folder(reader.path) / ".000005.test.ab12cd34.tmp.json"
    stray = trials_folder(reader.path) / "000005.test.json"
    for path in (temporary, stray):
        path.write_text("{}")
    reader.refresh()
    assert temporary.exists()
    assert not stray.exists()


class _Slow(Remote):
    """A store that takes its time over what one thread writes."""

    def __init__(self, uri: str) -> None:
        self.__dict__.update(open_remote(uri).__dict__)
        self.begun = threading.Event()

    def write(self, name: str, content: bytes) -> None:
        if threading.current_thread().name == "study-lease":
            self.begun.set()
            threading.Event().wait(0.3)
        super().write(name, content)


@pytest.fixture
def dead(uri: str, tmp_path: Path) -> Iterator[StudyLease]:
    """The lease of half a second of a driver that is not renewed any more."""
    lease = StudyLease(open_remote(uri), tmp_path / "driver", lease_s=0.5)
    lease._ended.set()
    with lease:
        yield lease


def test_a_driver_that_died_is_named_until_its_lease_is_over(
    uri: str, dead: StudyLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = open_remote(uri)
    remote.write(LEASE, remote.read(LEASE))
    holder = lease_holder(remote)
    assert holder is not None
    assert holder.fence == 1
    threading.Event().wait(0.6)
    assert lease_holder(remote) is None

    def refuse(*_: object) -> None:
        raise ResourceError("cannot write: access denied")

    monkeypatch.setattr(Remote, "write", refuse)
    assert lease_holder(remote) == holder


def test_a_renewal_under_way_does_not_outlive_the_lease(uri: str, tmp_path: Path) -> None:
    remote = _Slow(uri)
    with StudyLease(remote, tmp_path / "driver", lease_s=0.2):
        assert remote.begun.wait(5)
    threading.Event().wait(0.5)
    after = lease_of(remote)
    assert after is not None
    assert after["held"] is False
