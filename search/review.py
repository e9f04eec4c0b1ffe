"""The review server: a study's page on this machine alone, up to date while the search runs, and a pick button.

Only the loopback address is bound. The address of the page holds a random token, so that other users and programs of
the machine cannot guess it; a page of another site can neither read (no permission to other origins is given) nor
write (a foreign or missing origin of a POST is refused), and a foreign name that points here is refused by the Host.
"""

import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from reid.config import reject_unknown
from reid.errors import ConfigError, ReidParetoError, ResourceError
from results.record import Record, one_line
from results.report_data import Snapshot, report_data
from results.review_page import etag_of, live_page
from results.study import Study
from results.verify import verify
from search.packages import embedder
from search.picking import Wishes, describe, pick_package

__all__ = ["ReviewServer", "Settings", "parse_wishes"]

_MOST_BODY_BYTES = 10_000
_FETCH_EVERY_S = 5.0
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the server works with.

    Attributes:
        study: read side of the study.
        packages: folder in which packages are made.
        data: the prepared dataset, where it is no longer where the study was run.
        check: measure the candidates of a pick again before packaging.
        say: told one line at each step of a pick.
    """

    study: Study
    packages: Path
    data: Path | None
    check: bool
    say: Callable[[str], None]


class ReviewServer(ThreadingHTTPServer):
    """Serves one study at `url` until `shutdown`; one package is made at a time."""

    daemon_threads = True

    def __init__(self, settings: Settings, port: int = 0) -> None:
        """Bind the loopback address; `serve_forever` then answers.

        Args:
            settings: the study and where packages go.
            port: 0 takes a free one.

        Raises:
            ConfigError: the port is taken or not permitted.
        """
        self.settings = settings
        self.token = secrets.token_urlsafe(24)
        self.picking = threading.Lock()
        self._fetching, self._fetched = threading.Lock(), time.monotonic()
        self.rendered = lru_cache(maxsize=1)(self._render)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"--port {port} cannot be used: {error}; leave it out for a free one"
            ) from error

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a browser on this machine calls the server."""
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    @property
    def url(self) -> str:
        """Address of the page, token included."""
        return f"http://{self.hosts[0]}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error of ours; others become one line."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            self.settings.say(f"review: {one_line(repr(error), 300)}")

    def fetch(self) -> None:
        """Have the newest records of a study in an object store; one that does not answer leaves what is there."""
        with self._fetching:
            if time.monotonic() - self._fetched > _FETCH_EVERY_S:
                with suppress(ResourceError):
                    self.settings.study.refresh()
                self._fetched = time.monotonic()

    def _render(self, etag: str) -> bytes:
        from results.report import render  # here, because plotly is slow to import

        return live_page(render(self.settings.study), etag).encode()

    def pick(self, wishes: Wishes) -> dict[str, Any]:
        """Make a package and verify it; plain JSON values of both."""
        settings = self.settings
        picked = pick_package(
            settings.study, wishes, self._name, data=settings.data, check=settings.check, say=settings.say
        )
        found = verify(picked.package, embedder(picked.package))
        return {**describe(picked), "min_cosine": found.min_cosine}

    def _name(self, record: Record) -> Path:
        base = f"trial-{record.number:06d}"
        names = (self.settings.packages / (base + (f"-{n}" if n > 1 else "")) for n in range(1, 10_000))
        return next(path for path in names if not path.exists())


def parse_wishes(body: bytes) -> Wishes:
    """Wishes out of the JSON that the page sends: {"trial": 3}, or {"max": {"latency_ms": 5}, "min": {...}}.

    Raises:
        ConfigError: it is something else.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the request is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError('the request must be an object such as {"trial": 3}')
    reject_unknown(values, ["trial", "max", "min", "max_drop"], "key of a pick")
    trial = values.get("trial")
    if trial is not None and type(trial) is not int:
        raise ConfigError(f"trial must be a whole number, got {trial!r}")
    limits = {key: _limits(key, values.get(key, {})) for key in ("max", "min", "max_drop")}
    return Wishes(maximum=limits["max"], minimum=limits["min"], max_drop=limits["max_drop"], trial=trial)


def _limits(key: str, values: Any) -> Mapping[str, float]:
    if not isinstance(values, dict) or not all(type(value) in (int, float) for value in values.values()):
        raise ConfigError(f"{key} must map metrics to numbers, got {values!r}")
    try:
        return {str(name): float(value) for name, value in values.items()}
    except OverflowError as error:
        raise ConfigError(f"{key} must hold numbers that fit a float: {error}") from error


class _Refused(Exception):  # noqa: N818 - it ends a request, nothing is wrong here
    """A request that is answered with a status and nothing else."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    timeout = 30
    server_version = "reid-pareto"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the address holds the token, and logs are read by others."""

    def _answer(self, work: Callable[[str], tuple[str, bytes]]) -> None:
        try:
            kind, content = work(self._place())
            status = HTTPStatus.OK
        except _Refused as error:
            status, kind, content = error.status, *_json({"error": str(error)})
        except ReidParetoError as error:
            facts = {"error": one_line(str(error)), "exit_code": error.exit_code}
            status, kind, content = HTTPStatus.UNPROCESSABLE_ENTITY, *_json(facts)
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _place(self) -> str:
        """What is asked for below the token, once Host, Origin and token are right."""
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0] not in self.server.hosts:
            raise _Refused(HTTPStatus.FORBIDDEN, "this server answers to its own name only")
        origin = self.headers.get("Origin")
        if (origin or self.command == "POST") and origin != f"http://{hosts[0]}":
            raise _Refused(HTTPStatus.FORBIDDEN, "requests of other origins are refused")
        _, _, below = self.path.split("?")[0].partition("/")
        token, slash, place = below.partition("/")
        if not (slash and secrets.compare_digest(token.encode(), self.server.token.encode())):
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here; use the address that review printed")
        return place

    def _get(self, place: str) -> tuple[str, bytes]:
        self.server.fetch()
        study = self.server.settings.study
        etag, trials = etag_of(study)
        if place == "":
            return "text/html; charset=utf-8", self.server.rendered(etag)
        if place == "state":
            return _json({"etag": etag, "trials": trials})
        if place == "data":
            return _json({"etag": etag, "data": report_data(Snapshot.of(study))})
        raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _post(self, place: str) -> tuple[str, bytes]:
        if place != "pick":
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BODY_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send at most {_MOST_BODY_BYTES} bytes")
        wishes = parse_wishes(self.rfile.read(int(length)))
        if not self.server.picking.acquire(blocking=False):
            raise _Refused(HTTPStatus.CONFLICT, "a package is being made; wait for it")
        try:
            return _json(self.server.pick(wishes))
        finally:
            self.server.picking.release()


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value, allow_nan=False).encode()
