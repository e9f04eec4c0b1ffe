"""How large the report page is and how long it takes, made and opened, up to 10,000 trials.

Run from the repository: python -m benchmarks.report_page [--trials 100 1000 10000]
Needs playwright and a Chromium at /usr/bin/chromium (apt-get install chromium).
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from benchmarks.device import write_result
from benchmarks.screenshots import CHROMIUM
from benchmarks.synthetic import snapshot
from results.report import render_snapshot

SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"


def busy(session: CDPSession) -> float:
    """Processor seconds that the page's thread has worked."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def act(page: Page, session: CDPSession, script: str) -> float:
    """Processor seconds until the answer to a script is on the screen."""
    before = busy(session)
    page.evaluate(f"async () => {{ {script}; await {SETTLED}; }}")
    return busy(session) - before


def opened(browser: Browser, path: Path) -> dict[str, float]:
    """Times of one opening, of a limit, and of a click on the named trial."""
    page = browser.new_page(viewport={"width": 1360, "height": 1000})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    begun = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector('html[data-ready="true"]', state="attached", timeout=300_000)
    wall = time.perf_counter() - begun
    found = {
        "first_paint_wall_s": page.evaluate(
            "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        )
        / 1e3,
        "complete_wall_s": wall,
        "complete_processor_s": busy(session),
        "limit_processor_s": act(page, session, "reidPareto.ask({ maximum: { latency_ms: 4 } })"),
        "click_processor_s": act(page, session, "document.getElementById('named').click()"),
    }
    page.close()
    return found


def measure(browser: Browser, trials: int, path: Path, rounds: int) -> dict[str, Any]:
    """The quickest of some openings in each respect: other work on the machine only ever adds."""
    study = snapshot(trials)
    begun = time.process_time()
    page = render_snapshot(study)
    made = time.process_time() - begun
    path.write_text(page, encoding="utf-8")
    runs = [opened(browser, path) for _ in range(rounds)]
    best = {name: min(run[name] for run in runs) for name in runs[0]}
    return {"size_bytes": path.stat().st_size, "made_processor_s": made, **best}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    # A page from a file needs no proxy, and Chromium would ask one.
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments, env=environment)
        path = Path(folder) / "report.html"
        figures = {str(trials): measure(browser, trials, path, options.rounds) for trials in options.trials}
        browser.close()
    write_result("report-page", {"rounds": options.rounds, "trials": figures})


if __name__ == "__main__":
    main()
