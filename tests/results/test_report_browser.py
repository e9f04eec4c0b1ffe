"""The report in a real browser: what a reader sees, what the console says, what goes over the wire."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from results import Study, commit
from results.report import write_report
from tests.results.conftest import trial
from tests.results.samples import failed_record, make_study

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`<a href='javascript:alert(3)'>x</a>"
)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"no browser: {CHROMIUM} is absent (apt-get install chromium)"
    ),
]


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
        self.page.wait_for_selector('html[data-ready="true"]', state="attached")
        return self

    def heading(self) -> str:
        return self.page.locator("#detail h2").inner_text()

    def click_point(self, trace: str, index: int) -> None:
        """Point at the middle of a drawn point, see its label, click, as a hand does."""
        order = [text.split(" (")[0] for text in self.page.locator(".legendtext").all_text_contents()]
        points = self.page.locator(".scatterlayer .trace").nth(order.index(trace)).locator(".points path")
        box = points.nth(index).bounding_box()
        assert box is not None
        # Two clicks within 300 ms are a double click to plotly.
        self.page.wait_for_timeout(400)
        self.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.wait_for_selector(".hovertext")
        self.page.mouse.down()
        self.page.mouse.up()

    def quiet(self) -> None:
        assert self.console == []
        assert self.dialogs == []
        assert [url for url in self.requests if not url.startswith("file://")] == []


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    # Chromium would ask a proxy for file:// pages' favicons and the like; there is none to ask.
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, env=environment)
        yield started
        started.close()


@pytest.fixture(params=["light", "dark"])
def opened(browser: "playwright.Browser", request: pytest.FixtureRequest) -> Iterator[Opened]:
    page = browser.new_page(viewport={"width": 1300, "height": 1100}, color_scheme=request.param)
    yield Opened(page)
    page.close()


def test_click_shows_the_trial(opened: Opened, study: Study, tmp_path: Path) -> None:
    opened.show(write_report(study, tmp_path / "report.html"))
    assert opened.heading() == "Trial 5 front"
    # By latency the front is 8, 5, 3, 0 and the dominated ones are 2, 1.
    for trace, index, number in [("front", 3, 0), ("front", 0, 8), ("dominated", 1, 1)]:
        opened.click_point(trace, index)
        kind = "front" if trace == "front" else "dominated"
        playwright.expect(opened.page.locator("#detail h2")).to_have_text(f"Trial {number} {kind}")
        shown = opened.page.locator("#detail").inner_text()
        params = study.record(number).params
        assert str(params["prune_rate"]) in shown
        assert params["quantization"] in shown
        assert f"{study.record(number).metrics['latency_ms']:.2f} ms" in shown
        chosen = opened.page.locator("tr.chosen")
        assert chosen.get_attribute("data-trial") == str(number)
    opened.quiet()


def test_tables_hold_every_trial_apart_by_standing(opened: Opened, study: Study, tmp_path: Path) -> None:
    opened.show(write_report(study, tmp_path / "report.html"))
    cards = opened.page.locator("#tables .card")
    found = {
        card.locator("h2").inner_text(): card.locator("tbody tr td:first-child").all_inner_texts()
        for card in cards.all()
    }
    assert found == {
        "On the front (4)": ["8", "5", "3", "0"],
        "Dominated or untrusted (3)": ["1", "2", "4"],
        "Infeasible (1)": ["6"],
        "Failed (1)": ["7"],
    }
    front = cards.first
    by_accuracy = front.locator("th button").nth(1)
    assert by_accuracy.inner_text() == "mAP"
    by_accuracy.click()
    assert front.locator("tbody tr td:first-child").all_inner_texts() == ["8", "5", "3", "0"]
    by_accuracy.click()
    assert front.locator("tbody tr td:first-child").all_inner_texts() == ["0", "3", "5", "8"]
    cards.nth(3).get_by_role("button", name="7").click()
    assert "ConfigError: knn must be at least 2, got 1" in opened.page.locator("#detail").inner_text()
    opened.quiet()


def test_picture_has_lines_bars_and_a_logarithmic_axis(opened: Opened, study: Study, tmp_path: Path) -> None:
    opened.show(write_report(study, tmp_path / "report.html"))
    labels = opened.page.locator(".annotation-text").all_text_contents()
    assert sorted(labels) == sorted(
        [
            "baseline",
            "baseline",
            "latency_ms <= 8.5",
            "mAP >= baseline - 0.40",
            "latency_ms <= 0.6 * baseline",
        ]
    )
    assert opened.page.locator(".errorbars .errorbar").count() == 4
    x = {}
    for index, latency in enumerate((2.5, 3.0, 5.0, 8.0)):
        points = opened.page.locator(".scatterlayer .trace").nth(2).locator(".points path")
        box = points.nth(index).bounding_box()
        assert box is not None
        x[latency] = box["x"] + box["width"] / 2
    # Equal ratios are equal distances.
    per_log = (x[8.0] - x[5.0]) / 0.4700
    assert (x[5.0] - x[2.5]) / 0.6931 == pytest.approx(per_log, rel=0.02)
    opened.quiet()


def test_hostile_names_stay_text(opened: Opened, tmp_path: Path) -> None:
    study = make_study(
        tmp_path, name=HOSTILE, dataset={"name": HOSTILE}, limits=[f"mAP >= {HOSTILE}", "mAP >= 0.1"],
        protocol=HOSTILE, objectives={"mAP": "maximize", "latency_ms": "minimize", HOSTILE: "maximize"},
        reference_point=None,
    )  # fmt: skip
    strange = trial(0, 0.5, 2.0)
    strange.params[HOSTILE] = HOSTILE
    strange.config["backbone"] = HOSTILE
    strange.metrics[HOSTILE] = 1.0
    commit(study, strange)
    commit(study, trial(1, 0.4, 3.0, status="infeasible", violations={HOSTILE: 1.0}))
    commit(study, failed_record(2, kind=HOSTILE, message=HOSTILE))
    opened.show(write_report(study, tmp_path / "report.html"))
    for number in ("0", "1", "2"):
        opened.page.locator("#tables").get_by_role("button", name=number, exact=True).click()
        assert HOSTILE in opened.page.locator("#detail").text_content()
    assert opened.page.locator("h1").text_content() == HOSTILE
    assert opened.page.locator("img, iframe, a[href^='javascript']").count() == 0
    assert opened.page.locator("script").count() == 4
    opened.quiet()


def test_empty_study_is_a_calm_page(opened: Opened, tmp_path: Path) -> None:
    opened.show(write_report(make_study(tmp_path), tmp_path / "report.html"))
    assert "none committed yet" in opened.page.locator(".facts").inner_text()
    assert "No trial to show yet" in opened.page.locator("#detail").inner_text()
    opened.quiet()
