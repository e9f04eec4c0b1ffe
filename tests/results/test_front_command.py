import csv
import io
import json
from pathlib import Path

import pytest

from reid.errors import ConfigError, StudyDamaged
from results import Study, commit, commit_fact, layout
from search.commands.front import front
from tests.results.samples import failed_record, make_study, with_metrics


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A baseline, a front of two, one beaten trial and one that failed."""
    made = make_study(tmp_path)
    commit(made, with_metrics(-1, {"mAP": 0.82, "latency_ms": 16.2}, params={}))
    commit(made, with_metrics(0, {"mAP": 0.7, "latency_ms": 5.0}))
    commit(made, with_metrics(1, {"mAP": 0.6, "latency_ms": 3.0}, params={"knn": 4, "note": "=HYPERLINK(1)"}))
    commit(made, with_metrics(2, {"mAP": 0.5, "latency_ms": 4.0}))
    commit(made, failed_record(3))
    return made


def test_json_lists_the_front_with_what_is_known(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    commit_fact(study, 0, "test", {"mAP": 0.69})
    front(study.path, json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["objectives"] == {"mAP": "maximize", "latency_ms": "minimize"}
    assert said["baseline"]["latency_ms"] == 16.2
    assert [trial["number"] for trial in said["front"]] == [0, 1]
    assert said["front"][0]["test"] == {"mAP": 0.69}
    assert said["front"][1]["test"] is None
    assert said["front"][1]["params"] == {"knn": 4, "note": "=HYPERLINK(1)"}
    assert said["front"][0]["artifact"] == "artifacts/000000"


def test_csv_has_a_row_per_trial_and_no_formula(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    front(study.path, csv=True)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["number"], row["mAP"], row["latency_ms"]) for row in rows] == [
        ("0", "0.7", "5.0"),
        ("1", "0.6", "3.0"),
    ]
    assert [row["params"] for row in rows] == ["571208", "571208"]
    assert [row["params.knn"] for row in rows] == ["2", "4"]
    assert [row["params.note"] for row in rows] == ["", "'=HYPERLINK(1)"]
    assert list(rows[0])[:3] == ["number", "mAP", "latency_ms"]


def test_people_get_a_table_with_the_baseline(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    front(study.path)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:5] for row in rows if row and row[0] in ("0", "1", "2", "baseline")] == [
        ["0", "70.0", "%", "5", "ms"],
        ["1", "60.0", "%", "3", "ms"],
        ["baseline", "82.0", "%", "16.2", "ms"],
    ]


PROTOCOL = "single query, cosine, junk removed"


def test_accuracies_say_on_which_images(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    commit_fact(
        study, 0, "test", {"metrics": {"mAP": 0.55, "rank1": 0.8}, "protocol": f"test split; {PROTOCOL}"}
    )
    commit_fact(study, 2, "test", {"metrics": {"mAP": 0.11}})  # not on the front
    front(study.path)
    said = capsys.readouterr().out.splitlines()
    rows = {row.split()[0]: row.split()[1:7] for row in said if row.strip()}
    assert rows["0"] == ["70.0", "%", "55.0", "%", "5", "ms"]
    assert rows["1"][:4] == ["60.0", "%", "3", "ms"]
    assert said[-2:] == [f"accuracy: {study.definition['protocol']}", f"test split: {PROTOCOL}"]
    front(study.path, csv=True)
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (first["mAP"], first["test.mAP"], first["test.rank1"]) == ("0.7", "0.55", "0.8")
    assert (second["test.mAP"], second["test.rank1"]) == ("", "")
    front(study.path, json=True)
    assert json.loads(capsys.readouterr().out)["front"][0]["protocol"] == study.definition["protocol"]


def test_without_a_test_there_is_no_column_of_it(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    for how in ({"csv": False}, {"csv": True}):
        front(study.path, **how)
        assert "test" not in capsys.readouterr().out


def test_an_empty_front_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path)
    front(study.path)
    assert "the front is empty" in capsys.readouterr().out
    front(study.path, json=True)
    assert json.loads(capsys.readouterr().out)["front"] == []
    front(study.path, csv=True)
    assert capsys.readouterr().out == "number,mAP,latency_ms\n"


def test_d4_damage_stops_it_unless_salvaged(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    layout.record_path(study.path, 0).write_text("{")
    with pytest.raises(StudyDamaged, match=r"000000\.json"):
        front(study.path)
    front(study.path, json=True, salvage=True)
    said = capsys.readouterr()
    assert [trial["number"] for trial in json.loads(said.out)["front"]] == [1]
    assert said.err.startswith("left out: ")
    assert f"{layout.record_path(study.path, 0)}: is torn" in said.err
    front(study.path, csv=True, salvage=True)
    assert "000000.json" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["baseline.json", "000001.test.json"])
def test_a_torn_baseline_or_fact_is_salvaged_too(
    study: Study, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (study.path / "trials" / place).write_text("{")
    with pytest.raises(StudyDamaged, match=place.replace(".", r"\.")):
        front(study.path, json=True)
    front(study.path, json=True, salvage=True)
    found = json.loads(capsys.readouterr().out)
    assert len(found["front"]) == 2
    assert (found["baseline"] is None) == (place == "baseline.json")
    assert all(trial["test"] is None for trial in found["front"] if trial["number"] == 1)
    front(study.path, salvage=True)


def test_one_format_at_a_time(study: Study) -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        front(study.path, json=True, csv=True)


def test_x9_names_cannot_drive_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_study(tmp_path)
    commit(study, with_metrics(0, {}, params={"\x1b[2Jname": "[bold]\x1b[31mred\nnext"}))
    front(study.path)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "[bold]red next" in said
