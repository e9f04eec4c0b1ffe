"""The review page in a real browser: it follows the study, keeps what the reader set, and makes packages."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from results import Study, commit
from results.verify import verify
from search.packages import embedder
from search.review import ReviewServer, Settings
from tests.results.conftest import trial
from tests.results.test_package_commands import network  # noqa: F401 - a fixture, by name

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
]  # fmt: skip
LONG_MS = 60_000

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"no browser: {CHROMIUM} is absent (apt-get install chromium)"
    ),
]


@pytest.fixture
def server(study: Study, tmp_path: Path) -> Iterator[ReviewServer]:
    settings = Settings(
        study=study, packages=tmp_path / "packages", data=None, check=True, say=lambda line: None
    )
    with ReviewServer(settings) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def page() -> Iterator["playwright.Page"]:
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, env=environment)
        opened = started.new_page(viewport={"width": 1300, "height": 1100})
        opened.set_default_timeout(LONG_MS)
        yield opened
        started.close()


def test_the_page_follows_the_study_and_packs(
    server: ReviewServer,
    page: "playwright.Page",
    study: Study,
    tmp_path: Path,
) -> None:
    console: list[str] = []
    hosts: set[str] = set()
    loads: list[str] = []
    page.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: console.append(f"error: {error}"))
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "://" in request.url else None)
    page.on("load", lambda _: loads.append("load"))
    page.goto(server.url)
    page.wait_for_selector('html[data-ready="true"]', state="attached")
    expect = playwright.expect
    expect(page.locator("#live")).to_have_text("Live: 9 trials committed.", timeout=LONG_MS)

    limit = page.locator("#limits input[type=range], #limits input[type=number]").first
    limit.focus()
    limit.press("ArrowLeft")
    limit.press("ArrowLeft")
    kept = limit.input_value()
    page.evaluate("window.stays = 'here'")
    commit(study, trial(9, 0.79, 2.9))
    expect(page.locator("#live")).to_have_text("Live: 10 trials committed.", timeout=LONG_MS)
    expect(page.locator("#tables [data-trial='9']").first).to_be_attached(timeout=LONG_MS)
    assert limit.input_value() == kept
    assert page.evaluate("window.stays") == "here"
    assert loads == ["load"]

    page.locator("#tables").get_by_role("button", name="3", exact=True).first.click()
    page.locator("#pick-trial").click()
    expect(page.locator("#picked")).to_contain_text("verified", timeout=LONG_MS)
    package = tmp_path / "packages" / "trial-000003"
    assert str(package) in page.locator("#picked").inner_text()
    assert verify(package, embedder(package)).program_known
    assert hosts == {f"127.0.0.1:{server.server_port}"}
    assert console == []


def test_a_page_of_another_site_gets_nothing(
    server: ReviewServer, page: "playwright.Page", tmp_path: Path
) -> None:
    """Even one that somehow learnt the token: it can send a simple request, but reads and writes nothing."""
    other = ReviewServer(server.settings)
    thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        answers: list[int] = []
        page.on("response", lambda reply: answers.append(reply.status) if server.token in reply.url else None)
        page.goto(f"http://127.0.0.1:{other.server_port}/nothing/")
        for options in (
            "{mode: 'no-cors', method: 'POST', body: '{\"trial\": 5}'}",
            "{}",
            "{mode: 'no-cors'}",
        ):
            found = page.evaluate(
                f"fetch('{server.url}pick', {options}).then(reply => reply.text()).catch(() => 'refused')"
            )
            assert found in ("", "refused")
    finally:
        other.shutdown()
        thread.join()
        other.server_close()
    assert 200 not in answers
    assert not (tmp_path / "packages").exists()


def test_nothing_fits_is_told_on_the_page(server: ReviewServer, page: "playwright.Page") -> None:
    page.goto(server.url)
    page.wait_for_selector('html[data-ready="true"]', state="attached")
    page.evaluate("window.reidPareto.limits = () => ({max: {latency_ms: 1}})")
    page.locator("#pick-limits").click()
    playwright.expect(page.locator("#picked")).to_contain_text("No package: none of 6", timeout=LONG_MS)
