import base64
import gzip
import hashlib
import json
import re
import struct
from html.parser import HTMLParser
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from results import Study, commit
from results.front_image import write_front_png
from results.report import write_report
from results.report_data import Snapshot, axes_of, kinds_of, limit_lines, report_data
from tests.results.conftest import trial
from tests.results.samples import failed_record, make_study

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`javascript:alert(3)\u202e&lt;"


class Page(HTMLParser):
    """Elements, attributes and texts of a page, as a browser would take them apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.scripts: dict[str, str] = {}
        self.text = ""
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self._open = dict(attrs).get("id") or "app" if tag == "script" else ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.scripts[self._open] = self.scripts.get(self._open, "") + data
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def unpacked(self, name: str) -> str:
        return gzip.decompress(base64.b64decode(self.scripts[name])).decode()

    def attribute(self, tag: str, name: str) -> list[str | None]:
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]


def page_of(study: Study, folder: Path) -> Page:
    return Page(write_report(study, folder / "report.html").read_text(encoding="utf-8"))


def hostile_study(folder: Path) -> Study:
    study = make_study(
        folder, name=HOSTILE, dataset={"name": HOSTILE}, limits=[f"{HOSTILE} <= 3"], protocol=HOSTILE
    )
    strange = trial(0, 0.5, 2.0)
    strange.params[HOSTILE] = HOSTILE
    strange.config["backbone"] = HOSTILE
    strange.metrics[HOSTILE] = 1.0
    commit(study, strange)
    commit(study, trial(1, 0.4, 3.0, status="infeasible", violations={HOSTILE: 1.0}))
    commit(study, failed_record(2, kind=HOSTILE, message=HOSTILE))
    return study


def test_page_holds_every_trial_with_its_standing(study: Study, tmp_path: Path) -> None:
    page = page_of(study, tmp_path)
    data = json.loads(page.unpacked("data"))
    kinds = {entry["n"]: entry["kind"] for entry in data["trials"]}
    assert kinds == {
        0: "front", 1: "dominated", 2: "dominated", 3: "front", 4: "untrusted", 5: "front", 6: "infeasible",
        7: "failed", 8: "front",
    }  # fmt: skip
    fifth = next(entry for entry in data["trials"] if entry["n"] == 5)
    record = study.record(5)
    assert fifth["params"] == record.params
    assert fifth["metrics"]["latency_p90_ms"] == pytest.approx(record.metrics["latency_p90_ms"], rel=1e-5)
    assert {**data["shared"], **fifth.get("config", {}), **fifth["params"]} == record.config
    assert data["suggested"] == 5
    assert data["baseline"]["latency_ms"] == 16.0
    assert [limit["value"] for limit in data["limits"]] == [8.5, pytest.approx(0.44), pytest.approx(9.6)]


def test_head_names_what_was_asked(study: Study, tmp_path: Path) -> None:
    text = page_of(study, tmp_path).text
    assert "market-resnet18" in text
    assert "maximize mAP, minimize latency_ms" in text
    assert "mAP >= baseline - 0.40 (0.44)" in text
    assert "mAP 0.84, latency_ms 16" in text
    assert "7 complete, 1 failed, 1 infeasible; the last on 2026-11-21 at 08:01 UTC" in text
    assert "Trial 5 is the knee" in text
    assert "reid-pareto pick STUDY --trial 5 --out PACKAGE" in text


def test_policy_allows_the_two_scripts_and_nothing_else(study: Study, tmp_path: Path) -> None:
    page = page_of(study, tmp_path)
    (policy,) = [v for v in page.attribute("meta", "content") if v and "default-src" in v]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    packed = page.unpacked("plotly")
    assert packed == get_plotlyjs()
    digests = [
        base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in (packed, page.scripts["app"])
    ]
    assert rules["script-src"] == " ".join(f"'sha256-{digest}'" for digest in digests)


def test_page_asks_for_nothing_from_outside(study: Study, tmp_path: Path) -> None:
    page = page_of(study, tmp_path)
    sources = [v for _, n, v in page.attributes if n in ("src", "href", "action", "data", "srcset")]
    assert sources == ["data:,"]
    own = page.scripts["app"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|fetch\(|https?:", own)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    calm = page_of(make_study(tmp_path / "calm"), tmp_path)
    page = page_of(hostile_study(tmp_path), tmp_path)
    assert page.tags == calm.tags
    assert {(t, n) for t, n, _ in page.attributes} == {(t, n) for t, n, _ in calm.attributes}
    data = json.loads(page.unpacked("data"))
    visible = HOSTILE.replace("\u202e", "")
    assert data["trials"][0]["params"][visible] == visible
    assert data["trials"][2]["error"] == f"{visible[:100]}: {visible}"
    assert visible in page.text


def test_same_study_gives_the_same_page(study: Study, tmp_path: Path) -> None:
    assert (
        write_report(study, tmp_path / "a.html").read_bytes()
        == write_report(study, tmp_path / "b.html").read_bytes()
    )


def test_study_without_trials_and_baseline(tmp_path: Path) -> None:
    page = page_of(make_study(tmp_path, limits=["mAP >= baseline - 0.1"]), tmp_path)
    data = json.loads(page.unpacked("data"))
    assert data["trials"] == []
    assert data["baseline"] is None
    assert data["limits"] == [{"text": "mAP >= baseline - 0.1", "metric": "mAP", "value": None}]
    assert "none committed yet" in page.text
    assert "nothing can be picked yet" in page.text


@pytest.mark.parametrize(
    "limit",
    ["latency_ms <= 8", "mAP >= baseline - 0.10", "latency_ms <= 0.5 * baseline", "mAP>=.5", "mAP >= baseline",
     "latency_ms <= 1e1", "latency_ms <= 0.5*baseline+1"],
)  # fmt: skip
def test_limits_mean_what_the_space_file_means(study: Study, limit: str) -> None:
    from spaces.limits import parse_limit

    baseline = study.baseline
    assert baseline is not None
    assert limit_lines([limit], baseline)[limit] == pytest.approx(
        parse_limit(limit).resolve(baseline.metrics)[2]
    )


def test_axes_put_the_cost_to_the_right() -> None:
    assert axes_of({"mAP": "maximize", "latency_ms": "minimize"}) == axes_of(
        {"latency_ms": "minimize", "mAP": "maximize"}
    )
    both = axes_of({"latency_ms": "minimize", "size_bytes": "minimize"})
    assert (both.x, both.y) == ("latency_ms", "size_bytes")


def test_limit_broken_by_a_complete_trial_keeps_it_off_the_front() -> None:
    over = trial(0, 0.9, 1.0, violations={"size_bytes <= 1": 5.0})
    assert kinds_of([over], {"mAP": "maximize", "latency_ms": "minimize"}) == {0: "infeasible"}


def test_settings_that_all_trials_share_are_held_once(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for number in (0, 1):
        commit(study, trial(number, 0.5, 2.0))
    data = report_data(Snapshot.of(study))
    assert data["shared"]["backbone"] == "resnet18"
    assert "round_to" in data["shared"]
    assert not any("config" in entry for entry in data["trials"]), "all that differs was searched"


def test_picture_is_a_png_of_the_front(study: Study, tmp_path: Path) -> None:
    path = write_front_png(study, tmp_path / "front.png")
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (1200, 750)


def test_picture_of_hostile_and_empty_studies(tmp_path: Path) -> None:
    study = make_study(tmp_path, name="costs $\\frac{1}{0$ \u202e", limits=["latency_ms <= 8"])
    write_front_png(study, tmp_path / "empty.png")
    commit(study, trial(0, 0.5, 2.0))
    assert write_front_png(study, tmp_path / "one.png").stat().st_size > 5000
