"""A whole search on a study in an object store: a real S3 endpoint on loopback, with faults on request."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reid.errors import ConfigError, ResourceError, StudyInUse, UnverifiedError
from results import Study, hold_study, open_study
from results.lease import StudyLease, lease_of
from results.mirror import mirror_folder
from results.remote import open_remote
from search.cli import app
from search.execute import run_job
from search.jobs import Resources, Supply
from tests.results.s3 import Endpoint, s3_endpoint, server_python

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(server_python() is None, reason="make s3 installs the endpoint"),
]

CANARY = "canary-3f1b9"

HOLD = """
import sys, time
from pathlib import Path
from results.lease import StudyLease, lease_of
from results.remote import open_remote
with StudyLease(open_remote(sys.argv[1]), Path(sys.argv[2]), lease_s=2) as lease:
    print("held", flush=True)
    sys.stdin.readline()
    try:
        lease.check()
        print("writes", flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with s3_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """The endpoint without faults, with this test's own mirrors and credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{CANARY}-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{CANARY}-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server.faults.reset()
    return server


def test_a_search_commits_to_the_store_and_resumes_elsewhere(
    endpoint: Endpoint, run_search: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = endpoint.uri("whole")
    done = run_search(4, path=uri)
    assert [record.number for record in done.records()] == [0, 1, 2, 3]
    kept = {record.number: record for record in done.records()}
    # Another machine: nothing of the mirrors is there.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    again = run_search(6, path=uri)
    assert {record.number: record for record in again.records()}.items() >= kept.items()
    assert len(again.records()) == 6
    assert again.started() == ()
    for record in again.records():
        if record.artifact:
            assert again.artifact(record.number).is_dir()
    for command in (["status", uri, "--json"], ["front", uri, "--json"]):
        answer = CliRunner().invoke(app, command)
        assert answer.exit_code == 0, answer.output
        assert json.loads(answer.stdout)["study"] == uri


def test_x13_credentials_are_nowhere_in_the_study(
    endpoint: Endpoint, run_search: Callable[..., Study], tmp_path: Path
) -> None:
    uri = endpoint.uri("canary")
    run_search(2, path=uri)
    remote = open_remote(uri)
    contents = [remote.read(name) for name in remote.names("")]
    contents += [path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len(contents) > 10
    assert not any(CANARY.encode() in content for content in contents)
    with pytest.raises(ConfigError, match="no credentials") as caught:
        open_study(f"s3://{CANARY}:{CANARY}@studies/x")
    assert CANARY not in str(caught.value)


def test_s6_a_503_is_tried_again(endpoint: Endpoint, run_search: Callable[..., Study]) -> None:
    endpoint.faults.refuse, endpoint.faults.times = "trials/000001.json", 3
    done = run_search(2, path=endpoint.uri("hiccup"))
    assert len(done.records()) == 2
    assert endpoint.faults.times == 0


def test_s6_a_lasting_503_names_the_place_and_loses_nothing(
    endpoint: Endpoint, run_search: Callable[..., Study]
) -> None:
    uri = endpoint.uri("down")
    endpoint.faults.refuse, endpoint.faults.times = "PUT /studies/down/trials/000001.json", 10**9
    with pytest.raises(ResourceError, match=r"s3://studies/down"):
        run_search(3, path=uri)
    endpoint.faults.refuse = None
    assert [record.number for record in open_study(uri).records()] == [0]
    assert [record.number for record in run_search(3, path=uri).records()] == [0, 1, 2]


def test_s6_an_artifact_without_its_manifest_is_invisible(
    endpoint: Endpoint, run_search: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = endpoint.uri("partial")
    run_search(1, path=uri)
    open_remote(uri).delete("artifacts/000000/COMMIT.json")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "reader"))
    with pytest.raises(UnverifiedError):
        open_study(uri).artifact(0)


def test_s6_a_record_that_the_listing_lacks_is_found_by_its_name(
    endpoint: Endpoint, run_search: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = endpoint.uri("lag")
    run_search(3, path=uri)
    from results.remote import Remote

    listed = Remote.names

    def lag(self: Remote, folder: str) -> dict[str, int]:
        return {name: size for name, size in listed(self, folder).items() if "000002" not in name}

    monkeypatch.setattr(Remote, "names", lag)
    assert [record.number for record in open_study(uri).records()] == [0, 1, 2]


def test_s4_a_slow_store_slows_the_search_and_nothing_else(
    endpoint: Endpoint, run_search: Callable[..., Study]
) -> None:
    endpoint.faults.delay_s = 0.1
    done = run_search(3, path=endpoint.uri("slow"))
    assert [record.number for record in done.records()] == [0, 1, 2]
    assert done.started() == ()


def test_s4_a_stall_is_waited_for_and_lets_no_second_driver_in(
    endpoint: Endpoint, run_search: Callable[..., Study], tmp_path: Path
) -> None:
    """S4 with a stall of ten seconds, after which everything goes on."""
    uri, stall_s = endpoint.uri("stall"), 10.0
    refused: list[str] = []
    before = threading.active_count()

    def stalls_after_the_first_trial(supply: Supply, resources: Resources) -> None:
        while not supply.finished and (job := supply.take()) is not None:
            answer = run_job(job)
            if job.number == 1:
                endpoint.faults.stalled.set()
                threading.Timer(stall_s, endpoint.faults.stalled.clear).start()
            begun = time.monotonic()
            supply.settle(job, answer)
            if job.number == 1:
                assert time.monotonic() - begun > stall_s - 1
                try:
                    with StudyLease(open_remote(uri), tmp_path / "other"):
                        pytest.fail("a second driver got in")
                except StudyInUse as error:
                    refused.append(str(error))

    done = run_search(3, path=uri, runner=stalls_after_the_first_trial)
    assert [record.number for record in done.records()] == [0, 1, 2]
    assert done.started() == ()
    assert len(refused) == 1
    # Requests that the client gave up end with the stall.
    deadline = time.monotonic() + 15
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert threading.active_count() <= before + 1


def test_d8_a_second_driver_is_refused_and_a_stopped_one_never_writes_again(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    uri = endpoint.uri("fence")
    remote = open_remote(uri)
    command = [sys.executable, "-c", HOLD, uri, tmp_path / "first"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        try:
            assert first.stdout.readline() == "held\n"
            with pytest.raises(StudyInUse, match=f"process {first.pid} on"), StudyLease(remote, tmp_path):
                pytest.fail("two drivers hold one study")
            first.send_signal(signal.SIGSTOP)
            time.sleep(3.5)
            with StudyLease(remote, tmp_path, lease_s=2) as second:
                assert (lease_of(remote) or {})["fence"] == 2
                first.send_signal(signal.SIGCONT)
                first.stdin.write("\n")
                first.stdin.flush()
                assert first.stdout.readline() == "StudyInUse\n"
                second.check()
        finally:
            first.kill()
    after = lease_of(remote)
    assert after is not None
    assert (after["fence"], after["held"]) == (2, False)


def test_d8_the_same_machine_takes_over_from_a_killed_driver_at_once(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    uri = endpoint.uri("killed")
    mirror = mirror_folder(uri, "driver")
    command = [sys.executable, "-c", HOLD, uri, mirror]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        os.kill(first.pid, signal.SIGKILL)
    begun = time.monotonic()
    with hold_study(uri) as held:
        held.check()
    assert time.monotonic() - begun < 10
