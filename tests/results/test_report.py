import base64
import gzip
import hashlib
import json
import re
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from benchmarks.synthetic import snapshot
from reid.errors import ConfigError
from results import Study, commit, commit_fact
from results.front_image import write_front_image, write_front_png
from results.report import render, render_snapshot, write_report
from results.report_data import Snapshot, axes_of, kinds_of, limit_lines, metric_of, report_data
from search.commands.report import report
from search.commands.status import examine_study
from tests.results.conftest import trial
from tests.results.samples import failed_record, make_study

ROOT = Path(__file__).resolve().parents[2]
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
    strange = trial(0, 0.5, 2.0, checks={"widths": {HOSTILE: [8, 4]}, "layers": {HOSTILE: [HOSTILE]}})
    strange.params[HOSTILE] = HOSTILE
    strange.config["backbone"] = HOSTILE
    strange.metrics[HOSTILE] = 1.0
    commit(study, strange)
    commit(study, trial(1, 0.4, 3.0, status="infeasible", violations={HOSTILE: 1.0}))
    commit(study, failed_record(2, kind=HOSTILE, message=HOSTILE))
    return study


def test_cost_counts_the_baseline_whose_stages_the_trials_took(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    dense = {"name": "dense", "key": "d", "seconds": 600.0, "cached": False}
    prune = {"name": "prune", "key": "p", "seconds": 20.0, "cached": False}
    commit(study, trial(-1, 0.84, 16.0, stages=[dense]))
    commit(study, trial(0, 0.8, 8.0, stages=[{**dense, "seconds": 1.0, "cached": True}, prune]))
    found = report_data(Snapshot.of(study))["ledger"]
    assert found["stages"] == [["dense", 1, 1, 601.0], ["prune", 1, 0, 20.0]]
    assert found["saved"] == examine_study(study)["saved_seconds"] == 599.0


def test_page_holds_every_trial_with_its_standing(study: Study, tmp_path: Path) -> None:
    page = page_of(study, tmp_path)
    data, details = json.loads(page.unpacked("data")), json.loads(page.unpacked("details"))
    kinds = {entry["n"]: entry["kind"] for entry in data["trials"]}
    assert kinds == {
        0: "front", 1: "dominated", 2: "dominated", 3: "front", 4: "untrusted", 5: "front", 6: "infeasible",
        7: "failed", 8: "front",
    }  # fmt: skip
    fifth = next(entry for entry in data["trials"] if entry["n"] == 5)
    record = study.record(5)
    params = {k: v for k, v in zip(data["params"], fifth["params"], strict=True) if v is not None}
    assert params == record.params
    assert dict(zip(data["metrics"], fifth["metrics"], strict=True)) == record.metrics, "exact, as pick needs"
    assert {**data["shared"], **details["5"].get("config", {}), **params} == record.config
    assert data["suggested"] == 5
    assert data["baseline"]["latency_ms"] == 16.0
    assert [limit["value"] for limit in data["limits"]] == [8.5, pytest.approx(0.44), pytest.approx(9.6)]
    assert details.keys() == {str(number) for number in kinds}


@pytest.mark.parametrize("trusted", [True, False])
def test_what_a_click_shows_comes_from_the_record(tmp_path: Path, trusted: bool) -> None:
    study = make_study(tmp_path)
    checks = {
        "latency": {"samples_ms": [2.0, 2.1, 2.2, 9.0], "reason": "busy", "trusted": True},
        "widths": {"layer1": [64, 20]},
        "layers": {"quantized": ["layer1"], "float": ["head"]},
        "parity_min_cosine": 0.9999998,
    }
    commit(study, trial(0, 0.5, 2.0, checks=checks))
    commit_fact(study, 0, "test", {"metrics": {"mAP": 0.48}, "protocol": "test split", "queries": 9})
    commit_fact(study, 0, "retiming", {"mAP": 0.51, "latency_ms": 2.4, "trusted": trusted})
    data = report_data(Snapshot.of(study))
    known = data["details"]["0"]
    assert known["widths"] == {"layer1": [64, 20]}
    assert known["layers"] == {"quantized": ["layer1"], "float": ["head"]}
    assert known["timing"] == {"reason": "busy", "trusted": True}
    assert known["checks"] == {"parity_min_cosine": 0.9999998}
    assert known["test"] == {"mAP": 0.48, "protocol": "test split", "queries": 9}
    assert known["curves"] == [["prune", {"loss": [1.25, 0.75]}]]
    assert sum(known["latency"]["counts"]) + known["latency"]["above"] == 4
    measured_anew = {"mAP": [0.5, 0.51], "latency_ms": [2.0, 2.4]}
    assert data["trials"][0]["repeats"] == {k: v for k, v in measured_anew.items() if trusted or k == "mAP"}
    assert data["stages"] == ["dense", "prune"]
    assert data["trials"][0]["stages"] == [[0, 0.2, 1, 0], [1, 61.5, 0, 1]]


def test_head_names_what_was_asked(study: Study, tmp_path: Path) -> None:
    page = page_of(study, tmp_path)
    assert "market-resnet18" in page.text
    assert "maximize mAP, minimize latency_ms" in page.text
    assert "mAP >= baseline - 0.40 (0.44)" in page.text
    assert "mAP 0.84, latency_ms 16" in page.text
    assert "7 complete, 1 failed, 1 infeasible; the last on 2026-11-21 at 08:01 UTC" in page.text
    assert "Trial 5 is the knee" in page.text
    data = json.loads(page.unpacked("data"))
    assert data["command"] == f"reid-pareto pick {study.path}"
    assert data["out"] == "market-resnet18"


def test_the_command_quotes_the_folder_of_the_study(tmp_path: Path) -> None:
    study = make_study(tmp_path / "it's a $(study)")
    command = report_data(Snapshot.of(study))["command"]
    said = subprocess.run(["sh", "-c", f'set -- {command}; printf %s "$3"'], capture_output=True, text=True)
    assert said.stdout == str(study.path)


@pytest.mark.parametrize(
    "name", ["two  blanks", "データ\u3000A", "a\u00a0b", "zero\u200bwidth", "new\nline", "x" * 200]
)
def test_the_command_names_folders_that_do_not_show_as_they_are(name: str, tmp_path: Path) -> None:
    study = make_study(tmp_path / name / ("y" * 200) / ("z" * 200))
    command = report_data(Snapshot.of(study))["command"]
    assert command.isprintable()
    said = subprocess.run(["bash", "-c", f'set -- {command}; printf %s "$3"'], capture_output=True, text=True)
    assert said.stdout == str(study.path)


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
    assert sources == ["data:,", "#wishes"]
    own = page.scripts["app"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|fetch\(|https?:", own)


def test_the_live_page_finds_its_places(study: Study) -> None:
    page = render(study)
    assert page.count("</body>") == 1
    assert page.count('<meta http-equiv="Content-Security-Policy" content="default-src') == 1


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    calm = page_of(make_study(tmp_path / "calm"), tmp_path)
    page = page_of(hostile_study(tmp_path), tmp_path)
    assert page.tags == calm.tags
    assert {(t, n) for t, n, _ in page.attributes} == {(t, n) for t, n, _ in calm.attributes}
    data = json.loads(page.unpacked("data"))
    visible = HOSTILE.replace("\u202e", "")
    assert visible in data["params"]
    assert data["trials"][0]["params"][data["params"].index(visible)] == visible
    assert data["trials"][2]["error"] == [visible[:100], visible]
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
     "latency_ms <= 1e1", "latency_ms <= 0.5*baseline+1", "latency_ms<=5."],
)  # fmt: skip
def test_limits_mean_what_the_space_file_means(study: Study, limit: str) -> None:
    from spaces.limits import parse_limit

    baseline = study.baseline
    assert baseline is not None
    assert metric_of(limit) == parse_limit(limit).metric
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
    assert not any("config" in entry for entry in data["details"].values()), "all that differs was searched"


def test_a_page_that_grows_too_large_leaves_details_out_of_the_front_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = snapshot(150)
    whole = Page(render_snapshot(study))
    size = len(render_snapshot(study).encode())
    monkeypatch.setattr("results.report._PAGE_BYTES", size - 10_000)
    page = render_snapshot(study)
    assert len(page.encode()) <= size - 10_000
    kept = json.loads(Page(page).unpacked("details"))
    assert 0 < len(kept) < len(json.loads(whole.unpacked("details")))
    front = {str(t["n"]) for t in json.loads(whole.unpacked("data"))["trials"] if t["kind"] == "front"}
    assert front <= kept.keys()


def test_opens_and_reports_where_torch_ray_and_optuna_are_not(study: Study, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'torchvision', 'ray', 'optuna', 'onnxruntime', 'sklearn'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from pathlib import Path\n"
        "from results.front_image import write_front_image\n"
        "from results.pick import pick\n"
        "from results.report import write_report\n"
        "from results.study import open_study\n"
        "study = open_study(sys.argv[1])\n"
        "write_report(study, Path(sys.argv[2]) / 'report.html')\n"
        "write_front_image(study, Path(sys.argv[2]) / 'front.svg')\n"
        "print(pick(study).record.number, study.hypervolume())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(study.path), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["5", str(study.hypervolume())]
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render(study)


def test_picture_is_a_png_of_the_front(study: Study, tmp_path: Path) -> None:
    path = write_front_png(study, tmp_path / "front.png")
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (1200, 750)


def test_picture_is_an_svg_with_searchable_words(study: Study, tmp_path: Path) -> None:
    text = write_front_image(study, tmp_path / "front.svg").read_text()
    assert ">market-resnet18</text>" in text
    assert ">latency not trusted</text>" in text
    assert ">mAP (%), validation</text>" in text
    again = write_front_image(study, tmp_path / "again.svg").read_text()
    assert text == again
    with pytest.raises(ConfigError, match=r"must end in \.png or \.svg"):
        write_front_image(study, tmp_path / "front.pdf")


def test_picture_of_hostile_and_empty_studies(tmp_path: Path) -> None:
    study = make_study(tmp_path, name="costs $\\frac{1}{0$ \u202e", limits=["latency_ms <= 8"])
    write_front_png(study, tmp_path / "empty.png")
    commit(study, trial(0, 0.5, 2.0))
    assert write_front_png(study, tmp_path / "one.png").stat().st_size > 5000


def test_command_writes_what_it_is_asked_for(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, png, svg = (tmp_path / f"r.{kind}" for kind in ("html", "png", "svg"))
    report(study.path, out=out, png=png, svg=svg)
    assert all(path.stat().st_size > 5000 for path in (out, png, svg))
    assert len(capsys.readouterr().out.splitlines()) == 3
    with pytest.raises(ConfigError, match="writes nothing"):
        report(study.path)
    with pytest.raises(ConfigError, match=r"--svg .* must end in \.svg"):
        report(study.path, svg=tmp_path / "front.png")
