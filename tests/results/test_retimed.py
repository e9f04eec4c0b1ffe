"""A timing session: what counts before, during and after it. On generated networks, timed for real where it says so."""

import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import reid.timing.sampling
import search.retime
from reid.errors import ConfigError, ResourceError, StudyDamaged, StudyInUse
from reid.timing import Comparison
from reid.timing.machine import cores, cpu_name
from results import Study, commit, commit_artifact, commit_fact, layout
from results.hold import hold_study
from results.package import build_package
from results.page_detail import detail
from results.report_data import Snapshot, report_data
from results.retimed import last_session, next_session, retimed, timed_on, timing_machine
from results.store import discard_artifact
from search.cli import app
from search.commands.status import examine_study
from search.retime import Session, retime
from tests.results.conftest import COMPLETE, UNTRUSTED, embedder, trial
from tests.results.samples import make_study
from tests.results.test_package_commands import network  # noqa: F401 - a fixture, by name

NUMBERS = sorted(COMPLETE | UNTRUSTED)
Retime = Callable[..., Session]


def quiet(line: str) -> None:
    """What `retime` says is not asked about."""


def timing(medians_ms: Sequence[float], *, spread: Sequence[float] = (), after: float = 10.0) -> Comparison:
    """Thirty rounds of equal blocks; `spread` holds each one's p90 over its median, 1.05 by default."""
    blocks = np.tile([0.99, 1.0, 1.0, 1.0, 1.05], (len(medians_ms), 30, 1))
    for index, factor in enumerate(spread):
        blocks[index, :, -1] = factor
    samples = blocks * np.asarray(medians_ms)[:, None, None]
    return Comparison(
        samples_ms=samples, trusted=True, reason="", kernel_drift=after / 10 - 1, kernel_ms=(10.0, after),
        attempts=1, waited_s=0.0,
    )  # fmt: skip


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, study: Study) -> Retime:
    """Retime the study with given latencies in place of measured ones; the baseline's comes first."""

    def run(*medians_ms: float, **options: Any) -> Session:
        left = list(medians_ms)

        def compare(paths: Sequence[object], targets: object) -> Comparison:
            of_trials = [left.pop(1) for _ in paths[1:]]
            return timing([left[0], *of_trials], **options)

        monkeypatch.setattr("search.packages.compare_files", compare)
        return retime(study, quiet)

    return run


def test_all_latencies_come_from_the_session(study: Study, session: Retime) -> None:
    before = {path: path.read_bytes() for path in (study.path / "trials").iterdir()}
    done = session(32.0, *(2 * (COMPLETE | UNTRUSTED)[number][1] for number in NUMBERS))
    assert done.timed == dict.fromkeys(NUMBERS, True)
    assert {path: path.read_bytes() for path in before} == before
    rows = pq.read_table(study.path / "trials.parquet").to_pylist()
    assert {row["number"]: row["metrics.latency_ms"] for row in rows}[4] == pytest.approx(4.0)
    records = {record.number: record for record in study.records()}
    for number, (accuracy, latency) in (COMPLETE | UNTRUSTED).items():
        metrics = records[number].metrics
        assert metrics["latency_ms"] == pytest.approx(2 * latency)
        assert metrics["latency_ratio"] == pytest.approx(2 * latency / 32)
        assert metrics["throughput_per_s"] == pytest.approx(500 / latency)
        assert metrics["mAP"] == accuracy
        assert study.record(number) == records[number]
    assert study.baseline is not None
    assert study.baseline.metrics["latency_ms"] == 32.0
    assert study.baseline.checks["kernel_ms"] == 10.0
    assert timed_on(study.baseline) == timed_on(records[0]) == socket.gethostname()
    # The untrusted trial beats all now, but for the limit of 8.5 ms: those at 12 and 16 ms break it.
    assert [record.number for record in study.front()] == [4]
    assert records[0].violations == {"latency_ms <= 8.5": pytest.approx(7.5)}
    assert records[0].status == "complete"
    assert records[0].outcome == "infeasible"
    assert examine_study(study)["trials"] == {"complete": 3, "infeasible": 5, "stopped": 0, "failed": 1}
    assert "3 complete, 1 failed, 5 infeasible" in dict(report_data(Snapshot.of(study))["facts"])["Trials"]


def test_what_is_told_of_a_timing_is_told_of_the_session(
    study: Study,
    session: Retime,
    network: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    commit_artifact(study, 9, network)
    slow = {
        "latency_ms": 12.0,
        "trusted": False,
        "reason": "the machine was not quiet",
        "samples_ms": [12.0] * 9,
    }
    commit(study, trial(9, 0.9, 12.0, latency_trusted=False, checks={"latency": slow}))
    session(32.0, *[4.0] * len(NUMBERS), 6.0)
    record = study.record(9)
    timing = record.checks["latency"]
    assert (timing["trusted"], timing["reason"]) == (True, "")
    assert (
        np.median(timing["samples_ms"]) == pytest.approx(timing["latency_ms"]) == record.metrics["latency_ms"]
    )
    shown = detail(record, {}, None)
    assert shown["latency"]["to"] == pytest.approx(6 * 1.05)
    assert (shown["timing"]["trusted"], shown["timing"]["host"]) == (True, socket.gethostname())
    package = build_package(study, record, tmp_path / "package", embed=embedder(network / "model.onnx"))
    metrics = json.loads((package / "metrics.json").read_text())
    assert metrics["checks"]["latency"] == timing
    assert metrics["latency_trusted"] is True
    here = f"cpu, {cpu_name()}, {cores()} cores"
    assert metrics["device"] == here
    assert f"- Device: {here}; " in (package / "model_card.md").read_text()
    for path in package.iterdir():
        assert b'"host"' not in path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("host", "known"),
    [("node-1", {"host": "node-1", "device": "cpu", "cpu": "old"}), ("node-2", {"host": "node-2"})],
)
def test_a_session_that_named_its_host_only_is_of_the_machine_of_that_name(
    host: str, known: dict[str, str]
) -> None:
    fact = {
        "metrics": {"latency_ms": 4.0, "latency_p10_ms": 3.9, "latency_p90_ms": 4.2},
        "trusted": True, "reason": "", "kernel_ms": 10.0, "samples_ms": [[4.0, 4.1]], "violations": {},
        "host": host, "timed_at": "2026-11-27T20:28:57.972+00:00",
    }  # fmt: skip
    record = trial(0, 0.8, 5.0, worker={"host": "node-1", "device": "cpu", "cpu": "old"})
    found = timing_machine(retimed(record, fact, fact))
    assert {name: value for name, value in found.items() if name != "timed_at"} == known


def test_a_study_with_no_session_left_is_refused_before_anything_is_timed(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_fact(study, 0, "latencyz", {"metrics": {"latency_ms": 99.0}})
    monkeypatch.setattr(search.retime, "_compare", lambda *_: pytest.fail("timed"))
    with pytest.raises(ConfigError, match="timed again 26 times already, which is the most"):
        retime(study, quiet)


def test_many_trials_are_timed_in_groups(
    study: Study, session: Retime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.retime, "AT_ONCE", 3)
    session(16.0, *range(1, len(NUMBERS) + 1))
    assert [study.record(number).metrics["latency_ms"] for number in NUMBERS] == [1, 2, 3, 4, 5, 6, 7]


def test_a_study_that_is_searched_is_left_alone(study: Study, session: Retime) -> None:
    with hold_study(study.path), pytest.raises(StudyInUse, match="is being searched"):
        session(16.0, *[4.0] * len(NUMBERS))


def test_a_latency_that_spreads_is_not_trusted_though_it_was(study: Study, session: Retime) -> None:
    done = session(16.0, *[4.0] * len(NUMBERS), spread=[1.05, 1.4])
    assert done.timed[0] is False
    assert done.timed[1] is True
    assert study.record(0).latency_trusted is False


def test_what_could_not_be_timed_is_not_trusted_any_more(study: Study, session: Retime) -> None:
    discard_artifact(study, 5, "room")
    done = session(16.0, *[4.0] * (len(NUMBERS) - 1))
    assert done.left_out == (5,)
    assert study.record(5).latency_trusted is False
    assert study.record(5).metrics["latency_ms"] == 3.0
    assert study.record(5).checks["latency"]["trusted"] is False
    assert "has no figures of it" in study.record(5).checks["latency"]["reason"]


def test_a_trial_after_the_session_counts_as_it_was_recorded(study: Study, session: Retime) -> None:
    session(16.0, *[4.0] * len(NUMBERS))
    commit(study, trial(9, 0.9, 3.5, finished_at="2999-01-01T00:00:00.000+00:00"))
    assert study.record(9).metrics["latency_ms"] == 3.5
    assert study.record(9).latency_trusted


@pytest.mark.parametrize("moment", ["1999-01-01T00:00:00.000+00:00", "2999-01-01T00:00:00.000+00:00"])
def test_what_came_before_a_session_is_told_by_number_not_by_clock(
    moment: str, study: Study, session: Retime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.retime, "utc_now", lambda: "2026-11-29T00:00:00.000+00:00")
    left_out = trial(20, 0.9, 3.5, finished_at=moment)
    commit(study, left_out)
    monkeypatch.setattr(Study, "discarded", lambda self: frozenset({20}))
    session(16.0, *[4.0] * len(NUMBERS))
    commit(study, trial(21, 0.9, 3.5, finished_at=moment))
    assert not study.record(20).latency_trusted
    assert study.record(21).latency_trusted


def test_the_last_session_counts_and_a_broken_one_does_not(study: Study, session: Retime) -> None:
    session(16.0, *[4.0] * len(NUMBERS))
    commit_fact(study, 0, "latencyb", {"metrics": {"latency_ms": 99.0}})  # killed after its first fact
    assert last_session(study.path) == "latencya"
    assert study.record(0).metrics["latency_ms"] == 4.0
    assert next_session(study.path) == "latencyc"
    session(16.0, *[5.0] * len(NUMBERS))
    assert study.record(0).metrics["latency_ms"] == 5.0


@pytest.mark.parametrize("torn", [{-1}, {0}, {-1, 0}, {-1, *NUMBERS}], ids=str)
def test_a_torn_fact_of_a_session_costs_its_own_trial_only(
    study: Study, session: Retime, torn: set[int]
) -> None:
    session(32.0, *[4.0] * len(NUMBERS))
    for number in torn:
        layout.fact_path(study.path, number, "latencya").write_text("{")
    with pytest.raises(StudyDamaged, match=r"latencya\.json"):
        study.records(), study.baseline
    salvaged = replace(study, salvage=True)
    for record in salvaged.records():
        if record.number in NUMBERS:
            assert record.latency_trusted is (record.number not in torn)
            assert (record.metrics["latency_ms"] == 4.0) is (record.number not in torn)
    assert salvaged.baseline is not None
    assert salvaged.baseline.metrics["mAP"] == 0.84
    assert salvaged.baseline.metrics.get("latency_ms") == (None if -1 in torn else 32.0)
    assert len(salvaged.damaged()) == len(torn)


@pytest.mark.parametrize("trouble", [{"after": 10.8}, {"spread": [1.4]}])
def test_a_machine_that_is_not_quiet_changes_nothing(
    study: Study, session: Retime, trouble: dict[str, Any]
) -> None:
    before = study.records()
    with pytest.raises(ResourceError, match="nothing was committed"):
        session(16.0, *[4.0] * len(NUMBERS), **trouble)
    assert study.records() == before
    assert last_session(study.path) is None


def test_the_command_times_for_real(
    study: Study, monkeypatch: pytest.MonkeyPatch, hasty_timing: None
) -> None:
    for name in ("MAX_SPREAD", "MAX_KERNEL_DRIFT", "MAX_QUEUED"):
        monkeypatch.setattr(reid.timing.sampling, name, np.inf)
    done = CliRunner().invoke(app, ["retime", str(study.path)])
    assert done.exit_code == 0, done.output
    assert f"{len(NUMBERS)} of {len(NUMBERS)} latencies are trusted" in done.output
    assert study.baseline is not None
    fact = study.fact(4, "latencya")
    assert fact is not None
    # All networks are the same file, some microseconds long.
    assert 0 < fact["metrics"]["latency_ms"] < 16
    assert 0.2 < fact["metrics"]["latency_ratio"] < 5
    assert np.median(fact["samples_ms"]) == pytest.approx(fact["metrics"]["latency_ms"])


def test_without_a_baseline_there_is_nothing_to_time(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["retime", str(make_study(tmp_path).path)])
    assert done.exit_code != 0
    assert "no baseline yet" in str(done.exception)
