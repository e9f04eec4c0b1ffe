import errno
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reid.errors import ConfigError, ResourceError, UnverifiedError
from results import StudyLock, layout, open_study
from results.store import commit, commit_artifact, commit_fact, create_study, note_started, rebuild_table
from tests.results.samples import DEFINITION, failed_record, make_record, make_study


def test_a_study_is_its_owners_alone_and_keeps_what_was_asked(tmp_path: Path) -> None:
    objectives = {"mAP": "maximize", "latency_ms": "minimize", "a": "minimize"}
    definition = {**DEFINITION, "objectives": objectives, "reference_point": None}
    study = create_study(tmp_path / "new" / "study", definition)
    assert stat.S_IMODE(study.path.stat().st_mode) == 0o700
    again = open_study(str(study.path))
    assert again.definition == study.definition
    assert {**again.definition, **definition} == again.definition
    assert list(again.objectives) == ["mAP", "latency_ms", "a"]
    assert again.records() == []
    assert again.baseline is None


def test_an_existing_study_is_not_made_anew(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    before = (study.path / "study.json").read_bytes()
    with pytest.raises(ConfigError, match="holds a study already"):
        make_study(tmp_path)
    assert (study.path / "study.json").read_bytes() == before


def test_of_two_who_create_at_once_one_wins(tmp_path: Path) -> None:
    outcomes: list[str] = []
    gate = threading.Barrier(4)

    def create(name: str) -> None:
        gate.wait()
        try:
            outcomes.append(create_study(tmp_path / "study", {**DEFINITION, "name": name}).definition["name"])
        except ConfigError:
            outcomes.append("refused")

    threads = [threading.Thread(target=create, args=(f"rival-{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[:3] == ["refused"] * 3
    assert open_study(tmp_path / "study").definition["name"] in outcomes


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match=r"not empty \(thesis.tex\)"):
        create_study(tmp_path, DEFINITION)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_and_a_broken_off_creation_are_taken(tmp_path: Path) -> None:
    (tmp_path / "trials").mkdir()
    (tmp_path / ".study.0123abcd.tmp.json").touch()
    with StudyLock(tmp_path):
        assert create_study(tmp_path, DEFINITION).records() == []


def test_a_trials_folder_with_content_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "000000.json").touch()
    with pytest.raises(ConfigError, match="not empty"):
        create_study(tmp_path, DEFINITION)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"colour": 1}, "unknown key of a study definition: colour"),
        ({"objectives": {}}, "objectives must map"),
        ({"objectives": ["mAP"]}, "objectives must map"),
        ({"objectives": {"mAP": "up"}}, "objective mAP must be maximize or minimize"),
        ({"reference_point": {"mAP": 0.0}}, "reference_point must give"),
        ({"reference_point": {"mAP": 0.0, "latency_ms": "20"}}, "reference_point must give"),
        ({"schema": 2}, "schema of a study definition must be 1"),
    ],
)
def test_a_wrong_definition_is_refused_before_anything_is_made(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        make_study(tmp_path, **changes)
    assert not (tmp_path / "study").exists()


def test_a_definition_must_be_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing key of a study definition: seed"):
        create_study(
            tmp_path / "study", {name: value for name, value in DEFINITION.items() if name != "seed"}
        )


@pytest.mark.parametrize("place", ["s3://bucket/study", "gs://bucket/study"])
def test_a_remote_place_is_refused_by_name(place: str) -> None:
    with pytest.raises(ConfigError, match="local folder"):
        create_study(place, DEFINITION)
    assert not Path(place.split("/")[0]).exists()


def test_a_file_is_no_place_for_a_study(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        create_study(tmp_path / "file", DEFINITION)
    with pytest.raises(ResourceError, match="cannot make a study"):
        create_study(tmp_path / "file" / "study", DEFINITION)


@pytest.mark.fault
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (0o700, r"cannot read .*/study: Permission denied; ask its owner for access"),
        (0o755, "cannot make a study"),
    ],
    ids=["closed", "read-only"],
)
def test_s2_a_folder_without_permission_is_an_error_at_once(mode: int, said: str) -> None:
    code = (
        "import json, os, sys, time\n"
        "from results import create_study\n"
        "os.setuid(65534)\n"
        "begun = time.monotonic()\n"
        "try:\n"
        "    create_study(sys.argv[1], json.loads(sys.argv[2]))\n"
        "finally:\n"
        "    print(time.monotonic() - begun)\n"
    )
    # Not below tmp_path, which other users cannot even look into.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(mode)
        done = subprocess.run(
            [sys.executable, "-c", code, Path(folder) / "study", json.dumps(DEFINITION)],
            capture_output=True,
            text=True,
        )
        assert re.search(f"ResourceError: {said}", done.stderr)
        assert float(done.stdout) <= 1
        assert list(Path(folder).iterdir()) == []


@pytest.mark.fault
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_s2_a_study_of_another_user_is_not_called_damaged() -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from results import open_study\n"
        "from results.store import check_place\n"
        "os.setuid(65534)\n"
        "for attempt in (check_place, lambda place: open_study(place, salvage=True)):\n"
        "    try:\n"
        "        attempt(Path(sys.argv[1]))\n"
        "    except Exception as error:\n"
        "        print(f'{type(error).__name__}: {error}')\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        place = make_study(Path(folder)).path
        done = subprocess.run([sys.executable, "-c", code, place], capture_output=True, text=True)
        assert done.stdout.splitlines() == [
            f"ResourceError: cannot read {path}: Permission denied; ask its owner for access"
            for path in (place, place / "study.json")
        ]


def test_a_committed_record_is_read_back(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    records = [make_record(7), failed_record(2), make_record(0)]
    for record in records:
        commit(study, record)
    commit(study.path, make_record(-1))
    assert study.records() == [records[2], records[1], records[0]]
    assert study.record(7) == records[0]
    assert study.baseline == study.record(-1) == make_record(-1)
    assert (study.path / "trials" / "baseline.json").is_file()


def test_a_number_is_committed_once(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    path = commit(study, make_record(3))
    with pytest.raises(ConfigError, match="never rewritten"):
        commit(study, make_record(3, attempt=2))
    assert study.record(3).attempt == 1
    assert list(path.parent.iterdir()) == [path]


def test_of_many_who_commit_one_number_one_wins(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    refused: list[int] = []

    def race(attempt: int) -> None:
        try:
            commit(study, make_record(0, attempt=attempt))
        except ConfigError:
            refused.append(attempt)

    threads = [threading.Thread(target=race, args=(attempt,)) for attempt in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted([*refused, study.record(0).attempt]) == list(range(1, 9))


def test_begun_trials_are_known_until_they_are_committed(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for number in (4, 1):
        note_started(study, number, 1, {"prune_rate": 0.1 * number})
    note_started(study, 4, 2, {"prune_rate": 0.4})
    assert [(note.number, note.attempt, note.params) for note in study.started()] == [
        (1, 1, {"prune_rate": 0.1}),
        (4, 2, {"prune_rate": 0.4}),
    ]
    commit(study, make_record(4, attempt=2))
    assert [note.number for note in study.started()] == [1]
    assert not layout.started_path(study.path, 4).exists()
    with pytest.raises(ConfigError, match="committed already"):
        note_started(study, 4, 3, {})
    with pytest.raises(ConfigError, match="attempt"):
        note_started(study, 5, 0, {})


def test_a_note_that_outlived_its_commit_is_no_begun_trial(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    note = note_started(study, 4, 1, {}).read_bytes()
    commit(study, make_record(4))
    layout.started_path(study.path, 4).write_bytes(note)
    assert study.started() == ()


def test_later_facts_stand_beside_the_record(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    with pytest.raises(ConfigError, match="no committed trial 12"):
        commit_fact(study, 12, "test", {"mAP": 0.7})
    commit(study, make_record(12))
    assert study.test_record(12) is None
    path = commit_fact(study, 12, "test", {"mAP": 0.69, "sha256": "kept"})
    assert path.name == "000012.test.json"
    assert study.test_record(12) == {"mAP": 0.69, "sha256": "kept"}
    with pytest.raises(ConfigError, match="never rewritten"):
        commit_fact(study, 12, "test", {"mAP": 1.0})
    assert study.records() == [make_record(12)]
    assert study.fact(12, "timing") is None


@pytest.mark.parametrize("kind", ["started", "../x", "", "Test", "a.b"])
def test_a_fact_has_a_plain_word_as_kind(tmp_path: Path, kind: str) -> None:
    study = make_study(tmp_path)
    commit(study, make_record(12))
    with pytest.raises(ConfigError, match="kind of a fact"):
        commit_fact(study, 12, kind, {})


def filled(folder: Path) -> Path:
    """What a trial leaves behind."""
    (folder / "extra").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"onnx" * 1000)
    (folder / "extra" / "input_spec.json").write_text("{}")
    return folder


def test_an_artifact_is_copied_whole_and_verified(tmp_path: Path) -> None:
    study, work = make_study(tmp_path), filled(tmp_path / "work")
    relative = commit_artifact(study, 12, work)
    assert relative == "artifacts/000012"
    assert commit_artifact(study, -1, work) == "artifacts/baseline"
    folder = study.artifact(12)
    assert folder == study.path / relative
    assert (folder / "model.onnx").read_bytes() == (work / "model.onnx").read_bytes()
    assert (work / "model.onnx").exists()


@pytest.mark.parametrize("reachable", [True, False])
def test_an_artifact_that_is_handed_over_takes_no_room_where_links_reach(
    reachable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, work = make_study(tmp_path), filled(tmp_path / "work")

    def elsewhere(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    if not reachable:
        monkeypatch.setattr(os, "link", elsewhere)
    commit_artifact(study, 12, work, linked=True)
    model = study.artifact(12) / "model.onnx"
    assert model.samefile(work / "model.onnx") == reachable
    assert model.read_bytes() == (work / "model.onnx").read_bytes()


def test_a_later_attempt_replaces_what_an_earlier_left(tmp_path: Path) -> None:
    study, work = make_study(tmp_path), filled(tmp_path / "work")
    left = layout.artifact_folder(study.path, 12)
    left.mkdir()
    (left / "half.onnx").touch()
    commit_artifact(study, 12, work)
    (work / "model.onnx").write_bytes(b"second")
    commit_artifact(study, 12, work)
    assert (study.artifact(12) / "model.onnx").read_bytes() == b"second"
    assert not (left / "half.onnx").exists()


def test_the_artifact_of_a_committed_trial_stays(tmp_path: Path) -> None:
    study, work = make_study(tmp_path), filled(tmp_path / "work")
    commit_artifact(study, 12, work)
    commit(study, make_record(12))
    with pytest.raises(ConfigError, match="never rewritten"):
        commit_artifact(study, 12, work)


def test_s7_an_altered_artifact_is_named(tmp_path: Path) -> None:
    study, work = make_study(tmp_path), filled(tmp_path / "work")
    folder = study.path / commit_artifact(study, 12, work)
    (folder / "model.onnx").write_bytes(b"onnX" + b"onnx" * 999)
    with pytest.raises(UnverifiedError, match=r"model\.onnx"):
        study.artifact(12)
    with pytest.raises(UnverifiedError, match="trial 13 has no artifact"):
        study.artifact(13)


def test_an_artifact_without_files_or_with_links_is_refused(tmp_path: Path) -> None:
    study, work = make_study(tmp_path), tmp_path / "work"
    work.mkdir()
    with pytest.raises(ConfigError, match="holds no file"):
        commit_artifact(study, 12, work)
    (work / "model.onnx").symlink_to("/etc/hostname")
    with pytest.raises(UnverifiedError, match=r"model\.onnx"):
        commit_artifact(study, 12, work)
    assert not layout.artifact_folder(study.path, 12).exists()


def test_the_table_is_rebuilt_from_the_records(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    assert pq.read_table(rebuild_table(study)).num_rows == 0
    for number in range(3):
        commit(study, make_record(number))
    table = pq.read_table(rebuild_table(study))
    assert table.equals(study.table())
    assert table.column("number").to_pylist() == [0, 1, 2]


def test_nothing_is_written_where_no_study_is(tmp_path: Path) -> None:
    for write in (
        lambda: commit(tmp_path, make_record(0)),
        lambda: note_started(tmp_path, 0, 1, {}),
        lambda: commit_fact(tmp_path, 0, "test", {}),
        lambda: rebuild_table(tmp_path),
    ):
        with pytest.raises(ConfigError, match="no study at"):
            write()
    assert list(tmp_path.iterdir()) == []
