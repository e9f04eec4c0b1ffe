"""How the report looks and is worked, in a real browser: colours, keyboard, print, small screens."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from results import Study, commit
from results.report import write_report
from results.report_data import Snapshot, report_data
from tests.results.browser import Opened, needs_browser, playwright
from tests.results.conftest import trial

pytestmark = needs_browser

_KEYS = """
(name) => document.querySelector("#plot").data.filter((t) => (t.name || "").startsWith(name)).length
"""


def test_axes_colour_and_shape_follow_the_reader(opened: Opened, study: Study, tmp_path: Path) -> None:
    opened.show(write_report(study, tmp_path / "report.html"))
    page = opened.page
    page.locator('select[data-look="x"]').select_option("size_bytes")
    page.locator('select[data-look="y"]').select_option("rank1")
    page.locator('select[data-look="colour"]').select_option("quantization")
    page.locator('select[data-look="shape"]').select_option("quantization")
    opened.settle()
    assert page.locator("#plot .xtitle").text_content() == "file size (MB)"
    assert page.locator("#plot .ytitle").text_content() == "rank-1 (%)"
    front = opened.traces()["front"]
    by_number = dict(zip(front["numbers"], zip(front["x"], front["y"], strict=True), strict=True))
    record = study.record(3)
    assert by_number[3] == pytest.approx((record.metrics["size_bytes"] / 1e6, 100 * record.metrics["rank1"]))
    legend = page.locator("#plot .legendtext").all_text_contents()
    assert {"quantization fp32", "quantization int8-static"} <= set(legend)
    opened.quiet()


def test_sizes_of_images_have_colours_of_their_own(opened: Opened, study: Study, tmp_path: Path) -> None:
    """A value that is a list is another list in every trial."""
    sizes = ([128, 64], [256, 128])
    for number in range(9, 21):
        mark = trial(number, 0.5 + number / 100, number / 10)
        commit(study, replace(mark, params={"input_size": sizes[number % 2]}))
    opened.show(write_report(study, tmp_path / "report.html"))
    for look in ("colour", "shape"):
        opened.page.locator(f'select[data-look="{look}"]').select_option("input_size")
    opened.settle()
    keys = opened.page.evaluate(
        """() => document.querySelector("#plot").data.filter((t) => (t.name || "").startsWith("input_size"))
            .map((t) => [t.name, t.marker.symbol || t.marker.color])"""
    )
    assert len(keys) == 6, keys  # two sizes and none, by colour and by shape
    assert len({mark for _, mark in keys}) == 6, keys
    opened.quiet()


def test_a_shape_is_offered_for_few_values_only(opened: Opened, study: Study, tmp_path: Path) -> None:
    """Each value has a mark of its own in the key, and a rate may have thousands."""
    opened.show(write_report(study, tmp_path / "report.html"))
    shape = opened.page.locator('select[data-look="shape"]')
    shape.select_option("prune_rate")
    assert opened.page.evaluate(_KEYS, "prune_rate") == 8
    for number in range(9, 12):
        commit(study, trial(number, 0.5, float(number)))
    opened.page.evaluate("(data) => reidPareto.update(data)", report_data(Snapshot.of(study)))
    offered = "(select) => [...select.options].map((option) => option.value)"
    assert {"", "quantization"} <= set(shape.evaluate(offered))
    assert "prune_rate" not in shape.evaluate(offered)
    assert shape.input_value() == ""
    assert opened.page.evaluate(_KEYS, "prune_rate") == 0
    assert "prune_rate" in opened.page.locator('select[data-look="colour"]').evaluate(offered)
    opened.quiet()


def test_the_strip_says_what_was_not_measured(opened: Opened, study: Study, tmp_path: Path) -> None:
    slow = trial(9, 0.5, 9.0, status="infeasible", violations={"latency_ms <= 8.5": 0.5}, artifact=None)
    del slow.metrics["mAP"]
    commit(study, slow)
    opened.show(write_report(study, tmp_path / "report.html"))
    named = """() => document.querySelector("#plot").data.find((trace) => trace.meta === "strip").name"""
    assert opened.page.evaluate(named) == "no mAP measured (1)"
    opened.quiet()


def test_keyboard_alone_goes_everywhere(opened: Opened, study: Study, tmp_path: Path) -> None:
    opened.show(write_report(study, tmp_path / "report.html"))
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#plot").focus()
    for key, number in (("ArrowRight", 3), ("ArrowRight", 0), ("ArrowLeft", 3), ("Enter", 3)):
        page.keyboard.press(key)
        assert page.evaluate("reidPareto.selected()") == number
    assert page.locator("#compare").is_visible()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [role=img], [role=group], [role=region], meter")]
          .filter((node) => node.offsetParent && !node.closest("[aria-hidden=true], .modebar-container"))
          .filter((node) => !["aria-label", "aria-labelledby"].some((name) => node.getAttribute(name)))
          .filter((node) => !(node.closest("label") || node).textContent.trim())
          .map((node) => node.outerHTML.slice(0, 120))"""
    )
    assert unnamed == []
    headings = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3')].map((node) => Number(node.tagName[1]))"
    )
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    own = page.evaluate("[...document.querySelectorAll('main [id]')].map((node) => node.id)")
    assert len(own) == len(set(own))
    opened.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_in_light_and_dark(
    browser: "playwright.Browser", study: Study, tmp_path: Path, scheme: str
) -> None:
    texts, grounds = ("ink", "soft", "front", "doubt", "bad", "base", "good"), ("page", "card", "mark")
    page = browser.new_page(color_scheme=scheme)
    Opened(page).show(write_report(study, tmp_path / "report.html"))
    colours = page.evaluate(
        """(names) => Object.fromEntries(names.map((name) =>
          [name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()]))""",
        [*texts, *grounds],
    )
    page.close()

    def luminance(colour: str) -> float:
        """Relative luminance as WCAG 2.2 defines it."""
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(text: str, ground: str) -> float:
        light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    assert [(text, ground) for text in texts for ground in grounds if contrast(text, ground) < 4.5] == []
    assert (luminance(colours["ink"]) > luminance(colours["page"])) == (scheme == "dark")


def test_prints_light_and_without_controls(opened: Opened, study: Study, tmp_path: Path) -> None:
    opened.page.emulate_media(color_scheme="dark")
    opened.show(write_report(study, tmp_path / "report.html"))
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.page.emulate_media(media="print")
    card = opened.page.locator("#wishes").evaluate("(node) => getComputedStyle(node).backgroundColor")
    assert card == "rgb(255, 255, 255)"
    assert not opened.page.locator("#limits").is_visible()
    assert opened.page.locator("#command").is_visible()
    assert opened.page.pdf()[:5] == b"%PDF-"
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.page.evaluate("document.documentElement.dataset.theme") is None
    opened.quiet()


def test_a_narrow_screen_is_not_scrolled_sideways(opened: Opened, study: Study, tmp_path: Path) -> None:
    opened.page.set_viewport_size({"width": 400, "height": 800})
    opened.show(write_report(study, tmp_path / "report.html"))
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 400
    opened.quiet()
