"""What reads a study reads one in an object store: a real S3 endpoint on loopback, real ONNX files."""

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import reid.timing.sampling
from results import Study, commit, open_study
from results.remote import open_remote
from results.retimed import timed_on
from search.cli import app
from search.review import ReviewServer, Settings
from tests.results.s3 import Endpoint, s3_endpoint, server_python
from tests.results.samples import make_study, with_metrics
from tests.results.test_package_commands import network  # noqa: F401 - a fixture, by name
from tests.results.test_recheck import dataset  # noqa: F401 - a fixture, by name
from tests.results.test_recheck import study as checkable  # noqa: F401 - a fixture, by name
from tests.results.test_review import ask, post

pytestmark = pytest.mark.skipif(server_python() is None, reason="make s3 installs the endpoint")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with s3_endpoint() as made:
        yield made


@pytest.fixture(autouse=True)
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def put(study: Study, uri: str) -> None:
    """Every file of a study as an object, an artifact's manifest after its files."""
    remote = open_remote(uri)
    files = [path for path in study.path.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: (path.name == "COMMIT.json", path)):
        remote.write(str(path.relative_to(study.path)), path.read_bytes())


def printed(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    """Content by name, but for what tells when and of which study a package was made."""
    kept = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.name: path.read_bytes() for path in kept if path.suffix in (".onnx", ".py", ".txt", ".npz")}


def test_the_commands_say_the_same_of_both(endpoint: Endpoint, study: Study, tmp_path: Path) -> None:
    uri = endpoint.uri("read")
    put(study, uri)
    for command in ("front", "status"):
        here, there = (json.loads(printed(command, place, "--json")) for place in (study.path, uri))
        assert {name for name in here if here[name] != there[name]} == {"study"}
    for place, name in ((study.path, "here"), (uri, "there")):
        printed("report", place, "--out", tmp_path / f"{name}.html", "--png", tmp_path / f"{name}.png")
        printed("pick", place, "--max", "latency_ms=5.5", "--no-check", "--out", tmp_path / name)
        printed("verify", tmp_path / name)
    assert files(tmp_path / "here") == files(tmp_path / "there") != {}
    assert (tmp_path / "there.html").stat().st_size > 10_000


def test_a_pick_that_measures_again_leaves_its_facts_in_the_store(
    endpoint: Endpoint,
    checkable: Study,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = endpoint.uri("checked")
    put(checkable, uri)
    found = json.loads(printed("pick", uri, "--out", tmp_path / "package", "--json"))
    # Another machine: nothing of the mirror is there.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    tested = open_study(uri).test_record(found["trial"])
    assert tested is not None
    assert 0 < tested["metrics"]["mAP"] <= 1


def test_a_timing_session_is_kept_in_the_store(
    endpoint: Endpoint, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasty_timing: None
) -> None:
    for name in ("MAX_SPREAD", "MAX_KERNEL_DRIFT", "MAX_QUEUED"):
        monkeypatch.setattr(reid.timing.sampling, name, float("inf"))
    uri = endpoint.uri("retimed")
    put(study, uri)
    printed("retime", uri)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))  # as another machine
    before, after = study.record(0), open_study(uri).record(0)
    assert after.metrics["latency_ms"] != before.metrics["latency_ms"]
    assert timed_on(after) == socket.gethostname()


def test_a_study_in_the_place_of_a_removed_one_is_not_mixed_with_it(
    endpoint: Endpoint, study: Study, tmp_path: Path
) -> None:
    uri = endpoint.uri("again")
    put(study, uri)
    first = open_study(uri)
    stale = first.artifact(first.records()[0].number)
    remote = open_remote(uri)
    for name in [*remote.names("trials"), *remote.names("artifacts"), "study.json"]:
        remote.delete(name)
    other = make_study(tmp_path / "another")
    commit(other, with_metrics(0, {"mAP": 0.1, "latency_ms": 9.0}))
    put(other, uri)
    second = open_study(uri)
    assert [record.metrics["mAP"] for record in second.records()] == [0.1]
    assert not stale.exists()


def test_the_review_page_serves_and_picks(
    endpoint: Endpoint, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.review._FETCH_EVERY_S", 0.0)
    uri = endpoint.uri("reviewed")
    put(study, uri)
    later = commit(study, with_metrics(90, {}))
    settings = Settings(
        study=open_study(uri), packages=tmp_path / "packages", data=None, check=False, say=lambda line: None
    )
    with ReviewServer(settings) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            assert ask(server, "")[0] == 200
            before = ask(server, "state")[1]
            open_remote(uri).write("trials/000090.json", later.read_bytes())
            shutil.rmtree(study.path)
            after = ask(server, "state")[1]
            assert after["trials"] == before["trials"] + 1
            assert after["etag"] != before["etag"]
            status, made, _ = post(server, {"trial": 5})
        finally:
            server.shutdown()
            thread.join()
    assert status == 200, made
    printed("verify", next((tmp_path / "packages").iterdir()))
