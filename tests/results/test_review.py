"""The review server as programs meet it: who is let in, what is answered, what a pick makes."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reid.errors import ConfigError
from results import Study, commit, commit_fact
from search.picking import Wishes
from search.review import ReviewServer, Settings, parse_wishes
from tests.results.conftest import trial
from tests.results.test_package_commands import network  # noqa: F401 - a fixture, by name


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def server(study: Study, tmp_path: Path, told: list[str]) -> Iterator[ReviewServer]:
    settings = Settings(study=study, packages=tmp_path / "packages", data=None, check=True, say=told.append)
    with ReviewServer(settings) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(
    server: ReviewServer, place: str, body: Any = None, token: str | None = None, **headers: str
) -> tuple[int, Any, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    text = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    path = f"/{server.token if token is None else token}/{place}"
    connection.request("GET" if body is None else "POST", path, text, named)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    kind = reply.headers.get_content_type()
    return (
        reply.status,
        json.loads(content) if kind == "application/json" else content.decode(),
        reply.headers,
    )


def post(server: ReviewServer, body: Any, **headers: str) -> tuple[int, Any, http.client.HTTPMessage]:
    own = {"Origin": f"http://127.0.0.1:{server.server_port}", "Content_Type": "application/json"}
    return ask(server, "pick", body, **{**own, **headers})


def test_only_the_loopback_address_is_bound(server: ReviewServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/{server.token}/"
    assert len(server.token) >= 32


def test_state_changes_with_every_commit(server: ReviewServer, study: Study) -> None:
    status, before, headers = ask(server, "state")
    assert (status, before["trials"]) == (200, 9)
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers
    assert ask(server, "state")[1] == before
    commit(study, trial(9, 0.79, 2.9))
    after = ask(server, "state")[1]
    assert (after["trials"], after["etag"] != before["etag"]) == (10, True)
    commit_fact(study, 9, "test", {"mAP": 0.5})
    assert ask(server, "state")[1]["etag"] != after["etag"]
    fresh = ask(server, "data")[1]
    assert 9 in [one["n"] for one in fresh["data"]["trials"]]


def test_the_page_may_ask_its_own_server_and_nothing_else(server: ReviewServer) -> None:
    status, page, headers = ask(server, "")
    assert status == 200
    policy = page.split('Content-Security-Policy" content="')[1].split('"')[0].replace("&#x27;", "'")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert "unsafe" not in rules["script-src"]
    assert rules["script-src"].count("'sha256-") == len([s for s in page.split("<script>")[1:]]) + 1
    assert headers["X-Frame-Options"] == "DENY"
    assert server.token not in page


@pytest.mark.parametrize("token", ["", "x", "é"])
def test_a_wrong_token_finds_nothing(server: ReviewServer, token: str) -> None:
    wrong = token if token.isascii() else "%C3%A9"
    for place in ("", "state", "data"):
        status, told, _ = ask(server, place, token=wrong)
        assert (status, server.token in str(told)) == (404, False)
    assert ask(server, "state", token=server.token[:-1])[0] == 404
    assert ask(server, "state", token=server.token + "x")[0] == 404
    own = f"http://127.0.0.1:{server.server_port}"
    assert ask(server, "pick", {"trial": 5}, token=wrong, Origin=own)[0] == 404
    assert ask(server, "../../etc/passwd")[0] == 404


def test_other_origins_and_names_are_refused(server: ReviewServer) -> None:
    port = server.server_port
    for origin in (
        "https://evil.example",
        "null",
        f"http://127.0.0.1:{port + 1}",
        f"https://127.0.0.1:{port}",
    ):
        assert ask(server, "state", Origin=origin)[0] == 403
        assert post(server, {"trial": 5}, Origin=origin)[0] == 403
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", ""):
        assert ask(server, "state", Host=host)[0] == 403
    assert ask(server, "pick", {"trial": 5}, Content_Type="application/json")[0] == 403
    assert ask(server, "state", Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0] == 200


def test_a_form_of_another_site_cannot_pick(server: ReviewServer, tmp_path: Path) -> None:
    assert post(server, b'{"trial":5}', Content_Type="text/plain")[0] == 415
    assert post(server, b"x" * 10_001)[0] == 413
    assert not (tmp_path / "packages").exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no json", "no JSON"),
        ([], "must be an object"),
        ({"trail": 5}, "did you mean trial"),
        ({"trial": "5"}, "whole number"),
        ({"trial": True}, "whole number"),
        ({"max": {"latency_ms": "5"}}, "map metrics to numbers"),
        ({"max": [5]}, "map metrics to numbers"),
        ({"max": {"latncy_ms": 5}}, "did you mean latency_ms"),
        ({"trial": 99}, "no such committed trial"),
        ({"trial": 7}, "cannot be picked"),
        ({"trial": 5, "max": {"latency_ms": 5}}, "leave out"),
    ],
)
def test_wrong_wishes_are_one_line(server: ReviewServer, body: Any, message: str, tmp_path: Path) -> None:
    status, told, _ = post(server, body)
    assert status == 422
    assert message in told["error"]
    assert "\n" not in told["error"]
    assert told["exit_code"] == 2
    assert not (tmp_path / "packages").exists()


def test_nothing_feasible_says_what_misses(server: ReviewServer) -> None:
    status, told, _ = post(server, {"max": {"latency_ms": 1}})
    assert (status, told["exit_code"]) == (422, 7)
    assert "nearest: trial 8 (latency_ms over by 1.5)" in told["error"]


def test_one_package_at_a_time(server: ReviewServer) -> None:
    with server.picking:
        assert post(server, {"trial": 5})[0] == 409


def test_wishes_of_the_page_are_those_of_the_command() -> None:
    found = parse_wishes(b'{"max": {"latency_ms": 5}, "min": {"mAP": 0.7}}')
    assert found == Wishes(maximum={"latency_ms": 5.0}, minimum={"mAP": 0.7}, max_drop={}, trial=None)
    assert parse_wishes(b"{}") == Wishes()


def test_wishes_that_no_float_or_stack_can_hold_are_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="numbers that fit a float"):
        parse_wishes(b'{"max": {"latency_ms": 1' + b"0" * 400 + b"}}")
    with pytest.raises(ConfigError, match="no JSON"):
        parse_wishes(b"[" * 9_000)


def test_a_port_that_is_taken(server: ReviewServer) -> None:
    for port in (server.server_port, 70_000):
        with pytest.raises(ConfigError, match=f"--port {port} cannot be used"):
            ReviewServer(server.settings, port)


def test_a_pick_makes_a_verified_package(server: ReviewServer, tmp_path: Path) -> None:
    status, made, _ = post(server, {"max": {"latency_ms": 5.5}})
    assert status == 200, made
    assert made["package"] == str(tmp_path / "packages" / "trial-000003")
    assert (made["trial"], made["checked"]) == (3, False)
    assert made["min_cosine"] > 0.9999
    assert (tmp_path / "packages" / "trial-000003" / "manifest.json").is_file()
    assert post(server, {"trial": 3})[1]["package"].endswith("trial-000003-2")


def test_an_altered_artifact_is_refused(server: ReviewServer, study: Study, tmp_path: Path) -> None:
    path = study.path / "artifacts" / "000005" / "model.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    status, told, _ = post(server, {"trial": 5})
    assert (status, told["exit_code"]) == (422, 6)
    assert not (tmp_path / "packages" / "trial-000005").exists()
