"""A real S3 endpoint on loopback (moto's server, a process of its own) behind a proxy that can fail on request."""

import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUCKET = "studies"


def server_python() -> Path | None:
    """The interpreter that has moto, or None: `make s3` makes it (botocore excludes our python-dateutil)."""
    known = Path(__file__).resolve().parents[2] / ".venv-s3" / "bin" / "python"
    found = Path(os.environ.get("REID_PARETO_S3_PYTHON") or known)
    return found if found.exists() else None


@dataclass
class Faults:
    """What the proxy does to requests.

    Attributes:
        refuse: text in "METHOD PATH" of a request that is answered 503.
        times: how often; every further one passes.
        delay_s: how long every request waits.
        stalled: while it is set, requests wait for its end.
        seen: "METHOD PATH" of every request.
    """

    refuse: str | None = None
    times: int = 10**9
    delay_s: float = 0.0
    stalled: threading.Event = field(default_factory=threading.Event)
    seen: list[str] = field(default_factory=list)

    def reset(self) -> None:
        """No faults any more."""
        self.refuse, self.times, self.delay_s = None, 10**9, 0.0
        self.stalled.clear()
        self.seen.clear()

    def wait(self) -> None:
        """Be as slow as told."""
        time.sleep(self.delay_s)
        while self.stalled.is_set():
            time.sleep(0.1)

    def hits(self, request: str) -> bool:
        """Whether this request is to be refused; counts it."""
        self.seen.append(request)
        if self.refuse is None or self.refuse not in request or self.times <= 0:
            return False
        self.times -= 1
        return True


@dataclass(frozen=True)
class Endpoint:
    """The proxy's port and what it does."""

    port: int
    faults: Faults

    def uri(self, name: str) -> str:
        """URI of a study in the bucket."""
        return f"s3://{BUCKET}/{name}?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:{self.port}"


@contextmanager
def s3_endpoint() -> Iterator[Endpoint]:
    """Moto's server and the proxy before it, with an empty bucket."""
    port = _free_port()
    command = [str(server_python()), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(port, server)
            _ask(port, "PUT", f"/{BUCKET}")
            faults = Faults()
            proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(port, faults))
            proxy.daemon_threads = True
            thread = threading.Thread(target=proxy.serve_forever, daemon=True)
            thread.start()
            yield Endpoint(proxy.server_address[1], faults)
            proxy.shutdown()
            proxy.server_close()
            thread.join()
        finally:
            os.kill(server.pid, signal.SIGKILL)


def _handler(port: int, faults: Faults) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self._body()
            faults.wait()
            if faults.hits(f"{self.command} {self.path}"):
                self._answer(503, [], b"")
                return
            status, headers, content = _ask(port, self.command, self.path, body, _end_to_end(self.headers))
            with suppress(ConnectionError):  # the client may have given up waiting
                self._answer(status, headers, content)

        def _body(self) -> bytes:
            if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = dict((name.lower(), value) for name, value in headers).get("content-length")
            self.send_header(
                "Content-Length", length if self.command == "HEAD" and length else str(len(content))
            )
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815 - names of the base class

    return Handler


def _end_to_end(headers: Message) -> dict[str, str]:
    hop = ("transfer-encoding", "connection", "expect", "content-length")
    return {name: value for name, value in headers.items() if name.lower() not in hop}


def _ask(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, "moto's server ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("moto's server does not answer")
