"""What failed attempts cost is kept: through signs of life, retries, and the end of a driver."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

import spaces
from reid.errors import ArtifactError, ResourceError
from results import Study, open_study
from results.cost import lost_seconds
from search.commands.status import examine_study
from search.contact import Contact
from search.execute import run_job
from search.jobs import Answer, Job, Resources, Supply
from search.ledger import gpus_held, spent_by, with_gpu_seconds
from search.opening import Data
from search.session import search
from tests.search.fake_trial import run as fake_outcome


def job(tmp_path: Path, **payload: Any) -> Job:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    return Job(number=3, attempt=1, function=f"{__name__}:trial", work=work, payload=payload)


def test_stages_of_an_attempt_are_known_after_it_died(tmp_path: Path) -> None:
    """The process is gone; its last sign tells what it had done and what it was at."""
    one = job(tmp_path)
    contact = Contact(one)
    with contact.stage("dense-12"):
        time.sleep(0.01)
    contact._stage = ("prune", time.monotonic() - 5)
    contact._give_sign(1)
    done, lost = spent_by(one)
    assert (done["name"], done["key"], done["cached"], "lost" in done) == ("dense", "dense-12", False, False)
    assert 0.01 <= done["seconds"] < 5
    assert done["cpu_seconds"] >= 0
    assert (lost["name"], lost["lost"]) == ("prune", True)
    assert lost["seconds"] == pytest.approx(5, abs=1)


def test_a_stage_goes_on_after_one_within_it(tmp_path: Path) -> None:
    """A teacher's embeddings are computed within the training that needs them."""
    one = job(tmp_path)
    contact = Contact(one)
    began = time.monotonic()
    with contact.stage("dense-1"):
        with contact.stage("teach-1"):
            time.sleep(0.2)
        time.sleep(0.05)
        contact._give_sign(1)
        taught, lost = spent_by(one)
    whole = time.monotonic() - began
    assert (taught["name"], lost["name"], lost["lost"]) == ("teach", "dense", True)
    assert min(lost["seconds"], contact._spent[1]["seconds"]) >= 0.05
    for outer in (lost, contact._spent[1]):
        assert outer["seconds"] + taught["seconds"] <= whole + 0.01, "the time of the inner one counts twice"


def test_a_stage_that_raises_is_lost(tmp_path: Path) -> None:
    one = job(tmp_path, spent_before=[{"name": "dense", "key": "d", "seconds": 7.0, "cached": False}])
    with pytest.raises(ArtifactError), Contact(one) as contact, contact.stage("prune-1"):
        raise ArtifactError("NaN")
    assert [(row["name"], row.get("lost", False)) for row in spent_by(one)] == [
        ("dense", False),
        ("prune", True),
    ]


def test_an_attempt_without_a_sign_keeps_what_came_before(tmp_path: Path) -> None:
    before = [{"name": "dense", "key": "d", "seconds": 7.0, "cached": False}]
    assert list(spent_by(job(tmp_path, spent_before=before))) == before
    assert list(spent_by(job(tmp_path))) == []


def test_gpu_time_is_the_share_that_was_held() -> None:
    row = {"name": "dense", "key": "d", "seconds": 8.0, "cached": False}
    assert with_gpu_seconds([row], gpus_held(0.25, {"device": "cuda:1"}))[0]["gpu_seconds"] == 2.0
    assert with_gpu_seconds([row], gpus_held(None, {"device": "cuda:1"}))[0]["gpu_seconds"] == 8.0
    assert "gpu_seconds" not in with_gpu_seconds([row], gpus_held(None, {"device": "cpu"}))[0]


def trial(one: Job, contact: Contact) -> dict[str, Any]:
    """Trial 1 runs out of memory in its second stage, once; trial 2 always fails."""
    with contact.stage(f"dense-{one.number}"):
        time.sleep(0.01)
    with contact.stage(f"prune-{one.number}"):
        if one.number == 1 and one.attempt == 1:
            raise ResourceError("out of memory")
        if one.number == 2:
            raise ValueError("no such thing")
    return fake_outcome(one, contact)


def here(supply: Supply, resources: Resources) -> None:
    """Runs every job in this process, one after the other."""
    while (one := supply.take()) is not None:
        answer: Answer = run_job(one)
        supply.settle(one, answer)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    (tmp_path / "log").mkdir()
    monkeypatch.setenv("REID_PARETO_FAKE_LOG", str(tmp_path / "log"))
    data = Data(name="synthetic", root=Path("/nonexistent"), fingerprint="fake")
    return search(
        tmp_path / "study", spaces.load("demo"), data, trials=3, function=f"{__name__}:trial", runner=here
    )


def test_a_retry_and_a_failure_are_in_the_records_and_in_status(study: Study) -> None:
    records = {record.number: record for record in open_study(study.path).records()}
    retried = [(row["name"], row.get("lost", False)) for row in records[1].stages[:2]]
    assert (records[1].attempt, records[1].status) == (2, "complete")
    assert retried == [("dense", False), ("prune", True)]
    assert records[2].status == "failed"
    assert [(row["name"], row.get("lost", False)) for row in records[2].stages] == [
        ("dense", False),
        ("prune", True),
    ]
    found = examine_study(study)
    wanted = records[1].stages[1]["seconds"] + sum(row["seconds"] for row in records[2].stages)
    assert found["lost_seconds"] == pytest.approx(wanted)
    assert found["lost_seconds"] == lost_seconds(list(records.values())) > 0
    assert found["cpu_seconds"].keys() == found["seconds"].keys()
    json.dumps(found)


def test_what_an_interrupted_driver_left_is_counted_when_the_search_goes_on(
    study: Study, tmp_path: Path
) -> None:
    """A driver that is killed leaves the start note and the sign of its trial."""
    killed: list[Job] = []

    def dies(supply: Supply, resources: Resources) -> None:
        one = supply.take()
        assert one is not None
        contact = Contact(one)
        contact._stage = ("dense", time.monotonic() - 9)
        contact._give_sign(1)
        killed.append(one)
        raise SystemExit("killed")

    data = Data(name="synthetic", root=Path("/nonexistent"), fingerprint="fake")
    asked = {"trials": 4, "function": f"{__name__}:trial"}
    with pytest.raises(SystemExit):
        search(study.path, spaces.load("demo"), data, **asked, runner=dies)  # type: ignore[arg-type]
    search(study.path, spaces.load("demo"), data, **asked, runner=here)  # type: ignore[arg-type]
    record = open_study(study.path).record(killed[0].number)
    assert record.stages[0]["lost"] is True
    assert record.stages[0]["seconds"] == pytest.approx(9, abs=1)
