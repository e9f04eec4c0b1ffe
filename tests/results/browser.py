"""A real browser for the tests of the page: what a reader sees, what the console says, what goes over the wire."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
needs_browser = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"no browser: {CHROMIUM} is absent (apt-get install chromium)"
    ),
]


@contextmanager
def chromium() -> Iterator["playwright.Browser"]:
    """The system's browser, without a window."""
    # Chromium would ask a proxy for file:// pages' favicons and the like; there is none to ask.
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, env=environment)
        yield started
        started.close()


@dataclass
class Opened:
    """A page and all it did on its own."""

    page: "playwright.Page"
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def show(self, path: Path) -> "Opened":
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector('html[data-ready="true"]', state="attached", timeout=120_000)
        return self

    def heading(self) -> str:
        return self.page.locator("#detail h2").inner_text()

    def set_limit(self, key: str, value: str, kind: str = "number") -> None:
        """Move a slider or fill a field as a hand does; the page has answered when this returns."""
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        self.page.locator(f'input[type="{kind}"][data-limit="{escaped}"]').fill(value)
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for is on the screen."""
        self.page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
        )

    def traces(self) -> dict[str, dict[str, Any]]:
        """Drawn traces that hold trials, by what they mean ("front", "dominated-dim", "baseline" ...)."""
        return self.page.evaluate(
            "() => Object.fromEntries(document.getElementById('plot').data.filter((t) => t.meta)"
            ".map((t) => [t.meta, {numbers: t.customdata || [], x: [...t.x], y: [...t.y]}]))"
        )

    def point(self, number: int) -> dict[str, float]:
        """Middle of a trial's point on the screen."""
        return self.page.evaluate(
            """(number) => {
              const plot = document.getElementById("plot");
              for (const group of plot.querySelectorAll(".scatterlayer .trace")) {
                const trace = group.__data__[0].trace;
                const at = (trace.customdata || []).indexOf(number);
                if (at < 0) continue;
                const box = group.querySelectorAll(".points path")[at].getBoundingClientRect();
                return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
              }
            }""",
            number,
        )

    def click_trial(self, number: int, *, shift: bool = False) -> None:
        """Point at a trial, see its label, click, as a hand does."""
        self.page.locator("#plot").scroll_into_view_if_needed()
        place = self.point(number)
        # Two clicks within 300 ms are a double click to plotly.
        self.page.wait_for_timeout(400)
        self.page.mouse.move(place["x"], place["y"])
        self.page.wait_for_selector(".hovertext")
        if shift:
            self.page.keyboard.down("Shift")
        self.page.mouse.down()
        self.page.mouse.up()
        if shift:
            self.page.keyboard.up("Shift")

    def quiet(self) -> None:
        assert self.console == []
        assert self.dialogs == []
        assert [url for url in self.requests if not url.startswith("file://")] == []
