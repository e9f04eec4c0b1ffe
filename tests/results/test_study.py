import errno
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reid.errors import ConfigError, ResourceError, StudyDamaged
from results import Study, commit, commit_fact, layout, note_started, open_study
from results.sealed import read_sealed, write_sealed
from results.study import front_of, objective_values
from tests.results.samples import failed_record, make_record, make_study, with_metrics


def filled_study(folder: Path, **changes: Any) -> Study:
    """Four trials on the front (two of them equal), one beaten, and one of each that must stay off it."""
    study = make_study(folder, **changes)
    for record in (
        with_metrics(0, {"mAP": 0.70, "latency_ms": 5.0}),
        with_metrics(1, {"mAP": 0.70, "latency_ms": 5.0}),
        with_metrics(2, {"mAP": 0.60, "latency_ms": 3.0}),
        with_metrics(3, {"mAP": 0.80, "latency_ms": 9.0}),
        with_metrics(4, {"mAP": 0.59, "latency_ms": 3.0}),
        with_metrics(5, {"mAP": 0.99, "latency_ms": 1.0}, latency_trusted=False),
        with_metrics(6, {"mAP": 0.99, "latency_ms": 1.0}, status="infeasible"),
        with_metrics(7, {"mAP": 0.99, "latency_ms": 1.0}, violations={"size_bytes <= 1": 2e6}),
        failed_record(8),
        make_record(9, metrics={"mAP": 0.99}),
    ):
        commit(study, record)
    return study


def test_the_front_is_complete_feasible_trusted_and_unbeaten(tmp_path: Path) -> None:
    assert [record.number for record in filled_study(tmp_path).front()] == [3, 0, 1, 2]


def test_the_front_follows_the_objectives_of_the_definition(tmp_path: Path) -> None:
    study = filled_study(
        tmp_path, objectives={"latency_ms": "minimize"}, reference_point={"latency_ms": 20.0}
    )
    assert [record.number for record in study.front()] == [2, 4]
    assert front_of(study.records(), {"latency_ms": "maximize"})[0].number == 3
    assert objective_values(study.records()[8:], {"mAP": "maximize"}).tolist()[1] == [0.99]


def test_the_front_of_nothing_is_empty(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    assert study.front() == []
    assert study.hypervolume() == 0.0


def test_hypervolume_runs_from_the_front_to_the_reference_point(tmp_path: Path) -> None:
    study = filled_study(tmp_path)
    by_hand = 0.6 * (5 - 3) + 0.7 * (9 - 5) + 0.8 * (20 - 9)
    assert study.hypervolume() == pytest.approx(by_hand)
    assert study.hypervolume(study.front()) == pytest.approx(by_hand)


def test_an_open_reference_point_is_taken_from_the_baseline(tmp_path: Path) -> None:
    study = make_study(tmp_path, reference_point=None)
    assert study.reference_point is None
    assert study.hypervolume() is None
    commit(study, with_metrics(-1, {"mAP": 0.8, "latency_ms": 16.0}))
    assert study.reference_point == {"mAP": 0.0, "latency_ms": 16.0}
    commit(study, with_metrics(0, {"mAP": 0.5, "latency_ms": 6.0}))
    assert study.hypervolume() == pytest.approx(5.0)


def test_a_baseline_without_the_figure_gives_no_reference_point(tmp_path: Path) -> None:
    study = make_study(tmp_path, reference_point=None)
    commit(study, failed_record(-1))
    assert study.reference_point is None


def test_an_absent_study_and_an_absent_trial_are_named(tmp_path: Path) -> None:
    for place in (tmp_path / "none", tmp_path, tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match="no study at"):
            open_study(place)
    with pytest.raises(ConfigError, match="no committed trial 12"):
        make_study(tmp_path).record(12)


def test_a_newer_study_is_refused_with_its_version(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    write_sealed(study.path / "study.json", {**study.definition, "schema": 2})
    with pytest.raises(StudyDamaged, match="schema 2 is not 1"):
        open_study(study.path)


def test_a_newer_record_is_refused_with_its_version(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    path = commit(study, make_record(0))
    write_sealed(path, {**read_sealed(path), "schema": 7})
    with pytest.raises(StudyDamaged, match=r"000000\.json: schema 7 is newer than 2"):
        study.records()


def test_salvage_leaves_damaged_records_out_and_lists_them(tmp_path: Path) -> None:
    study = filled_study(tmp_path)
    torn = layout.record_path(study.path, 3)
    torn.write_bytes(torn.read_bytes()[:-40])
    for read in (study.records, study.front, study.table):
        with pytest.raises(StudyDamaged, match=r"000003\.json"):
            read()
    assert [record.number for record in replace(study, salvage=True).records()] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert [record.number for record in replace(study, salvage=True).front()] == [0, 1, 2]
    assert replace(study, salvage=True).table().num_rows == 9
    assert [problem.split(": ")[0] for problem in study.damaged()] == [str(torn)]


def test_salvage_leaves_nothing_out_that_may_only_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = filled_study(tmp_path)
    closed, read = layout.record_path(study.path, 3), Path.read_bytes

    def denied(path: Path) -> bytes:
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    for ask in (study.records, replace(study, salvage=True).records, study.damaged):
        with pytest.raises(ResourceError, match=r"000003\.json: Permission denied; ask its owner") as raised:
            ask()
        assert "--salvage" not in str(raised.value)


def test_salvage_is_advised_only_where_it_helps(tmp_path: Path) -> None:
    study = filled_study(tmp_path)
    layout.record_path(study.path, 3).write_text("{")
    with pytest.raises(StudyDamaged, match="front and status read the rest with --salvage"):
        study.records()
    for read in (lambda: study.record(3), lambda: open_study(study.path, salvage=True)):
        with pytest.raises(StudyDamaged) as raised:
            read()
        assert "--salvage" not in str(raised.value)
        layout.definition_path(study.path).write_text("{")
    assert not any("--salvage" in problem for problem in study.damaged())


def test_a_whole_record_under_another_number_is_damage(tmp_path: Path) -> None:
    study = filled_study(tmp_path)
    shutil.copy(layout.record_path(study.path, 3), layout.record_path(study.path, 11))
    with pytest.raises(StudyDamaged, match=r"000011\.json: holds trial 3"):
        study.records()


def test_damaged_notes_and_facts_are_named(tmp_path: Path) -> None:
    study = filled_study(tmp_path)
    commit(study, make_record(-1))
    commit_fact(study, 3, "test", {"mAP": 0.7})
    note_started(study, 20, 1, {})
    assert study.damaged() == ()
    other = layout.fact_path(study.path, 2, "test")
    shutil.copy(layout.fact_path(study.path, 3, "test"), other)
    with pytest.raises(StudyDamaged, match=r"000002\.test\.json"):
        study.test_record(2)
    other.unlink()
    for path in (layout.fact_path(study.path, 3, "test"), layout.started_path(study.path, 20)):
        path.write_text("{")
    with pytest.raises(StudyDamaged, match=r"000020\.started\.json"):
        study.started()
    assert replace(study, salvage=True).started() == ()
    with pytest.raises(StudyDamaged, match=r"000003\.test\.json"):
        study.test_record(3)
    assert len(study.damaged()) == 2


@pytest.mark.parametrize(
    "body", [{"number": 20}, {"number": 21, "attempt": 1, "params": {}, "started_at": "x"}]
)
def test_a_note_about_something_else_is_damage(tmp_path: Path, body: dict[str, Any]) -> None:
    study = make_study(tmp_path)
    write_sealed(layout.started_path(study.path, 20), {"schema": 1, **body})
    with pytest.raises(StudyDamaged, match=r"000020\.started\.json"):
        study.started()


def test_what_is_no_record_is_not_read_as_one(tmp_path: Path) -> None:
    study = filled_study(tmp_path)
    for name in (".000003.0123abcd.tmp.json", "notes.txt", "000099.json.bak", "12.json", "000098.test.json"):
        (study.path / "trials" / name).write_text("torn {")
    assert len(study.records()) == 10


def test_d10_a_thousand_records_are_read(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for number in range(1000):
        write_unsynced(layout.record_path(study.path, number), number)
    front = study.front()
    assert len(front) == 1000


def write_unsynced(path: Path, number: int) -> None:
    """A record without the cost of making it durable."""
    import json

    from results.sealed import seal

    path.write_text(json.dumps(seal(make_record(number).to_dict()), indent=2))
