"""The page chooses as `pick` does: the same studies and limits put to both."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.synthetic import snapshot
from reid.errors import NothingFeasible
from results.pick import eligible, pick
from results.record import Record
from results.report import render_snapshot
from results.report_data import Snapshot, report_data
from tests.results.browser import Opened, chromium, needs_browser
from tests.results.conftest import trial

pytestmark = needs_browser

STUDIES = 12
LIMITS = 60
METRICS = ("mAP", "rank1", "latency_ms", "latency_ratio", "throughput_per_s", "size_bytes")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_snapshot(snapshot(3)), encoding="utf-8")
    with chromium() as browser:
        yield Opened(browser.new_page()).show(path)


def awkward_study(seed: int) -> Snapshot:
    """Few distinct figures, so that ties, duplicates and trials at a limit meet often; some lack a metric."""
    draw = random.Random(seed)
    coarse = seed // 4 % 2 == 0
    objectives = [
        {"mAP": "maximize", "latency_ms": "minimize"},
        {"latency_ms": "minimize", "mAP": "maximize"},
        {"mAP": "maximize", "latency_ms": "minimize", "size_bytes": "minimize"},
        {"mAP": "maximize", "throughput_per_s": "maximize"},
    ][seed % 4]
    records: list[Record] = []
    for number in range(draw.choice([1, 2, 5, 40])):
        accuracy = draw.randint(1, 6) / 7 if coarse else draw.random()
        latency = draw.choice([0.7, 1.1, 2.3, 4.7]) if coarse else draw.lognormvariate(1, 1)
        record = trial(
            number,
            accuracy,
            latency,
            latency_trusted=draw.random() < 0.9,
            violations={"size_bytes <= 1": 1.0} if draw.random() < 0.1 else {},
        )
        record.metrics["throughput_per_s"] = 1000 / latency
        record.metrics["size_bytes"] = draw.choice([1e6, 2e6, 4e6]) if coarse else draw.uniform(1e5, 1e7)
        if draw.random() < 0.1:
            del record.metrics[draw.choice(METRICS)]
        records.append(record)
    baseline = trial(-1, 0.9, 8.0)
    base = snapshot(0)
    return Snapshot(
        path="s", definition={**base.definition, "objectives": objectives, "limits": []}, objectives=objectives,
        baseline=baseline, reference=None, trials=tuple(records), tests={}, again={},
        gone=frozenset(number for number in range(len(records)) if draw.random() < 0.2),
    )  # fmt: skip


def some_limits(study: Snapshot, draw: random.Random) -> dict[str, dict[str, float]]:
    """Up to three limits, half of them exactly at some trial's figure."""
    known = sorted({name for record in study.trials for name in METRICS if name in record.metrics})
    limits: dict[str, dict[str, float]] = {"maximum": {}, "minimum": {}, "max_drop": {}}
    for name in draw.sample(known, min(len(known), draw.randint(0, 3))):
        values = [record.metrics[name] for record in study.trials if name in record.metrics]
        value = draw.choice(values) if draw.random() < 0.5 else draw.uniform(min(values), max(values) * 1.01)
        rate = name in ("mAP", "rank1")
        higher = rate or name == "throughput_per_s"
        limits["minimum" if higher else "maximum"][name] = min(value, 1.0) if rate else value
    if draw.random() < 0.3:
        limits["max_drop"]["mAP"] = round(draw.uniform(0, 0.6), draw.choice([1, 2, 9]))
    return limits


def chosen_by_pick(study: Snapshot, limits: dict[str, dict[str, float]]) -> int | None:
    try:
        return pick(study, **limits).record.number  # type: ignore[arg-type]
    except NothingFeasible:
        return None


@pytest.mark.parametrize("seed", range(STUDIES))
def test_page_and_pick_agree(opened: Opened, seed: int) -> None:
    study, draw = awkward_study(seed), random.Random(seed + 1000)
    able = {name for r in study.trials if eligible(r, study.objectives) for name in r.metrics}
    asked: list[dict[str, Any]] = []
    while len(asked) < LIMITS:
        limits = some_limits(study, draw)
        if all(name in able for group in limits.values() for name in group):
            asked.append(limits)
    found = opened.page.evaluate(
        """([data, asked]) => {
          reidPareto.update(data);
          return asked.map((limits) => { reidPareto.ask(limits); return reidPareto.choice(); });
        }""",
        [json.loads(json.dumps(report_data(study))), asked],
    )
    assert found == [chosen_by_pick(study, limits) for limits in asked]
    opened.quiet()


def test_trials_that_only_differ_by_rounding_are_told_apart(opened: Opened) -> None:
    base = awkward_study(1)
    records = (trial(0, 0.7822511637350235, 1.0), trial(1, 0.7822511637350234, 0.9))
    study = Snapshot(**{**{name: getattr(base, name) for name in base.__slots__}, "trials": records})
    opened.page.evaluate("(data) => reidPareto.update(data)", report_data(study))
    limits = {"maximum": {}, "minimum": {"mAP": 0.7822511637350235}, "max_drop": {}}
    opened.page.evaluate("(limits) => reidPareto.ask(limits)", limits)
    assert opened.page.evaluate("reidPareto.choice()") == 0 == chosen_by_pick(study, limits)
