import json
from dataclasses import replace
from pathlib import Path

import pytest

from reid.errors import ConfigError, StudyDamaged
from results import Study, StudyLock, commit, layout, note_started
from search.commands.status import examine_study, status
from search.figures import duration_text, figure_text
from tests.results.samples import failed_record, make_record, make_study, with_metrics


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A baseline, a front of two, one trial of every other outcome, and one begun."""
    made = make_study(tmp_path)
    dense = [{"name": "dense", "key": "d", "seconds": 600.0, "cached": False}]
    commit(made, with_metrics(-1, {"mAP": 0.82, "latency_ms": 16.2}, stages=dense, params={}))
    commit(
        made,
        with_metrics(
            0, {"mAP": 0.7, "latency_ms": 5.0}, stages=[{**dense[0], "seconds": 1.0, "cached": True}]
        ),
    )
    commit(made, with_metrics(1, {"mAP": 0.6, "latency_ms": 3.0}, stages=[]))
    commit(made, make_record(2, latency_trusted=False, stages=[]))
    commit(made, make_record(3, status="infeasible", stages=[], violations={"latency_ms <= 8": 1.5}))
    failed = failed_record(4, kind="ResourceError", message="out of memory")
    commit(made, replace(failed, worker={"log": "trials/logs/000004-1.log"}))
    note_started(made, 5, 1, {"prune_rate": 0.5})
    return made


def test_json_says_everything(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    status(study.path, json=True)
    found = json.loads(capsys.readouterr().out)
    assert found == examine_study(study)
    assert found["committed"] == 5
    assert found["trials"] == {"complete": 3, "infeasible": 1, "stopped": 0, "failed": 1}
    assert found["front"] == [0, 1]
    assert found["untrusted"] == [2]
    assert found["failures"] == {"ResourceError": 1}
    assert found["hypervolume"] == pytest.approx(0.6 * 2 + 0.7 * 15)
    assert found["baseline"]["mAP"] == 0.82
    assert found["seconds"] == {"dense": 601.0}
    assert found["saved_seconds"] == 599.0


def test_a_begun_trial_runs_while_a_driver_does(study: Study) -> None:
    found = examine_study(study)
    assert (found["driver"], found["running"], found["interrupted"]) == (None, [], [5])
    with StudyLock(study.path):
        found = examine_study(study)
    assert (found["running"], found["interrupted"]) == ([5], [])
    assert found["driver"].startswith("process ")


def test_people_read_it_in_lines(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    status(study.path)
    said = capsys.readouterr().out
    for part in (
        "5 committed: 3 complete, 1 infeasible, 0 stopped, 1 failed",
        "2 trials (0, 1), hypervolume 11.7 (reference mAP 0.0 %, latency_ms 20 ms)",
        "baseline   mAP 82.0 %, latency_ms 16.2 ms",
        "accuracy   single-query, same camera removed, rectangular AP, validation identities",
        "failures   ResourceError 1",
        "trial 4 ResourceError: out of memory (trials/logs/000004-1.log)",
        "10 min 1 s (dense 10 min 1 s); the cache saved 9 min 59 s",
    ):
        assert part in said


def test_an_empty_study_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status(make_study(tmp_path, reference_point=None).path)
    said = capsys.readouterr().out
    assert "0 committed" in said
    assert "not yet run" in said
    assert "empty" in said


def test_d4_damage_stops_it_unless_salvaged(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    layout.record_path(study.path, 1).write_text("{")
    with pytest.raises(StudyDamaged, match=r"000001\.json"):
        status(study.path)
    layout.record_path(study.path, -1).write_text("{")
    status(study.path, salvage=True)
    said = capsys.readouterr().out
    assert "4 committed" in said
    assert "baseline.json" in said
    assert "damaged    " in said
    assert "000001.json" in said


def test_x9_names_cannot_drive_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path, name="\x1b[2Jgone[red]\nnext")
    commit(study, failed_record(0, kind="\x1b]0;title\x07Boom"))
    status(study.path)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "gone[red] next in" in said
    assert "Boom 1" in said


def test_an_absent_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no study at"):
        status(tmp_path / "none")


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("mAP", 0.71342, "71.3 %"),
        ("rank1", 1.0, "100.0 %"),
        ("latency_ms", 4.8149, "4.81 ms"),
        ("size_bytes", 2_311_404, "2.31 MB"),
        ("size_bytes", 512, "512 B"),
        ("macs", 187_400_192, "187 M"),
        ("params", 12, "12"),
        ("latency_ratio", 0.29571, "0.296"),
    ],
)
def test_figures_carry_their_units(metric: str, value: float, text: str) -> None:
    assert figure_text(metric, value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.6, "1 min 0 s"), (185.0, "3 min 5 s"), (7800.0, "2 h 10 min")]
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
