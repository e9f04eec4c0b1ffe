"""The pictures of the report page in docs/images: a synthetic study, light and dark.

Run from the repository: python -m benchmarks.screenshots
Needs playwright and a Chromium at /usr/bin/chromium (apt-get install chromium).
"""

import argparse
import io
import os
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from benchmarks.synthetic import snapshot
from reid.files import write_with
from results.report import render_snapshot

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
TRIALS, SEED = 300, 7
LIMIT_MS = "4"


def keep(picture: bytes, name: str) -> Path:
    """A PNG of 128 colours, a third of the size: pictures stay in the repository for good."""
    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(128)
    return write_with(IMAGES / f"{name}.png", lambda path: image.save(path, optimize=True))


def take(browser: Browser, page_file: Path, scheme: str) -> list[Path]:
    """The upper part with a limit set and, in light, the whole page with two trials compared."""
    page = browser.new_page(viewport={"width": 1360, "height": 1180}, color_scheme=scheme)
    page.goto(page_file.as_uri())
    page.wait_for_selector('html[data-ready="true"]', state="attached", timeout=120_000)
    page.locator('input[type="number"][data-limit="latency_ms"]').fill(LIMIT_MS)
    page.locator("#named").click()
    page.wait_for_timeout(500)
    taken = [keep(page.screenshot(), f"report-{scheme}")]
    if scheme == "light":
        page.locator("#detail").get_by_role("button", name="Compare").click()
        page.locator("#tables button.link").nth(2).click()
        page.locator("#detail").get_by_role("button", name="Compare").click()
        page.wait_for_timeout(500)
        for name in ("compare", "figures"):
            taken.append(keep(page.locator(f"#{name}").screenshot(), f"report-{name}"))
    page.close()
    return taken


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    # A page from a file needs no proxy, and Chromium would ask one.
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page_file = Path(folder) / "report.html"
        page_file.write_text(render_snapshot(snapshot(TRIALS, SEED)), encoding="utf-8")
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments, env=environment)
        for scheme in ("light", "dark"):
            for path in take(browser, page_file, scheme):
                print(path)
        browser.close()


if __name__ == "__main__":
    main()
