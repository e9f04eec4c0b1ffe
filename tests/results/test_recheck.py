"""A pick that measures again: what decides, what is kept, what is refused. On generated people and real ONNX files."""

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import reid.steps.score
import search.packages
import search.recheck
from reid.config import Target
from reid.data import ReIDDataset, decode_images, load_dataset, split_validation
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.errors import ConfigError, ResourceError
from reid.export.metadata import write_metadata
from reid.export.spec import InputSpec
from reid.files import read_json
from results import Study, commit, commit_artifact
from results.verify import verify
from search.packages import embedder as embedder_of
from search.picking import Picked, Wishes, describe, pick_package
from tests.results.conftest import SIZE, embedder, trial, write_network
from tests.results.samples import make_study

LATENCIES = {0: 5.0, 1: 4.9, 2: 4.8}
SEEDS = {0: 0, 1: 0, 2: 3}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ReIDDataset:
    root = tmp_path_factory.mktemp("data") / "synthetic"
    prepare_synthetic(SyntheticOptions(identities=12, test_identities=4, images_per_camera=2), root)
    return load_dataset("synthetic", root)


@pytest.fixture
def study(tmp_path: Path, dataset: ReIDDataset, network: Path) -> Study:
    """Three trials; 0 and 1 hold the same network, 1 says it is smaller, 2 holds another."""
    known = {"name": "synthetic", "fingerprint": dataset.fingerprint, "root": str(dataset.root)}
    made = make_study(tmp_path, dataset=known, limits=[])
    spec = InputSpec.from_dict(read_json(network / "input_spec.json"))
    for number, latency in LATENCIES.items():
        folder = shutil.copytree(network, tmp_path / f"artifact-{number}")
        model = onnx.load(write_network(folder / "model.onnx", seed=SEEDS[number]))
        write_metadata(model, spec, "fp32")
        onnx.save(model, folder / "model.onnx")
        commit_artifact(made, number, folder)
        record = trial(
            number, 0.7 - 0.001 * number, latency, worker={"host": socket.gethostname(), "device": "cpu"}
        )
        record.config.update(dataset="synthetic", validation_share=0.5, target={})
        record.metrics["size_bytes"] = 1000.0 - 100 * (number == 1)
        commit(made, record)
    return made


def picked(study: Study, out: Path, wishes: Wishes | None = None, **options: Any) -> Picked:
    options.setdefault("say", lambda line: None)
    return pick_package(study, wishes or Wishes(maximum={"latency_ms": 50}), out, **options)


def precisions(
    study: Study, number: int, query: tuple[Any, ...], gallery: tuple[Any, ...], root: Path
) -> list[float]:
    """Average precision of each query, written anew: rank by cosine, leave out the query's own camera."""
    embed = embedder(study.path / f"artifacts/{number:06d}/model.onnx")
    features = [embed(np.asarray(decode_images(part, SIZE, root).array)) for part in (query, gallery)]
    found = []
    for sample, row in zip(query, features[0] @ features[1].T, strict=True):
        kept = [
            other.person_id == sample.person_id
            for other in (gallery[i] for i in np.argsort(-row, kind="stable"))
            if other.person_id != -1
            and (other.person_id, other.camera_id) != (sample.person_id, sample.camera_id)
        ]
        places = np.flatnonzero(kept)
        if len(places):
            found.append(float(np.mean((np.arange(len(places)) + 1) / (places + 1))))
    return found


def test_equal_networks_tie_and_the_smaller_wins(study: Study, dataset: ReIDDataset, tmp_path: Path) -> None:
    made = picked(study, tmp_path / "package")
    assert made.rechecked is not None
    standings = {one.record.number: one for one in made.rechecked.settled.standings}
    assert made.choice.record.number == 1
    assert "cannot be told apart in mAP; trial 1 is the smallest" in made.choice.reason
    assert (standings[0].tied, standings[1].tied) == (True, True)
    assert standings[0].difference.low == standings[0].difference.high == 0
    split = split_validation(dataset, 0.5, 0)
    sides = (split.val_query, split.val_gallery, dataset.root)
    expected = np.mean(precisions(study, 2, *sides)) - np.mean(precisions(study, 1, *sides))
    assert standings[2].difference.value == pytest.approx(expected, abs=1e-6)
    assert standings[2].difference.low <= expected <= standings[2].difference.high


def test_the_test_split_is_asked_once_after_the_winner_has_won_and_kept(
    study: Study, dataset: ReIDDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []
    real = reid.steps.score.score_file

    def score(model: Path, target: Any, root: Path, query: Any, gallery: Any) -> Any:
        asked.append((model.parent.name, query is dataset.query or set(query) == set(dataset.query)))
        return real(model, target, root, query, gallery)

    monkeypatch.setattr(reid.steps.score, "score_file", score)
    made = picked(study, tmp_path / "first", zipped=True)
    names = ("000000", "000001", "000002")
    assert asked == [(name, on_test) for on_test in (False, True) for name in names]
    fact = study.test_record(1)
    assert fact is not None
    expected = np.mean(precisions(study, 1, dataset.query, dataset.gallery, dataset.root))
    assert fact["metrics"]["mAP"] == pytest.approx(expected, abs=1e-6)
    assert fact["protocol"].startswith("test split; ")
    assert made.rechecked is not None
    assert made.rechecked.tests[1]["mAP"] == fact["metrics"]["mAP"]
    assert set(made.rechecked.tests) == {0, 1, 2}
    retiming = study.fact(1, "retiming")
    assert retiming is not None
    assert retiming["latency_ms"] == pytest.approx(np.median(retiming["rounds_ms"]), rel=0.2)
    split = split_validation(dataset, 0.5, 0)
    again = np.mean(precisions(study, 1, split.val_query, split.val_gallery, dataset.root))
    assert retiming["mAP"] == pytest.approx(again, abs=1e-6)
    assert study.fact(0, "retiming") is not None
    metrics = json.loads((tmp_path / "first" / "metrics.json").read_text())
    assert metrics["test"]["metrics"]["mAP"] == fact["metrics"]["mAP"]
    assert "this network, test split" in (tmp_path / "first" / "model_card.md").read_text()
    asked.clear()
    second = picked(study, tmp_path / "second")
    assert [on_test for _, on_test in asked] == [False, False, False]
    assert second.rechecked is not None
    assert second.rechecked.tests == made.rechecked.tests
    json.dumps(describe(made), allow_nan=False)


def test_a_named_trial_is_measured_alone(study: Study, tmp_path: Path) -> None:
    made = picked(study, tmp_path / "package", Wishes(trial=2))
    assert made.rechecked is not None
    assert [one.record.number for one in made.rechecked.settled.standings] == [2]
    (test,) = made.rechecked.tests.values()
    assert test["mAP"] > 0


def test_without_the_dataset_the_records_decide(study: Study, dataset: ReIDDataset, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(dataset.root, moved)
    gone = Study(
        path=study.path,
        definition={**study.definition, "dataset": {**study.definition["dataset"], "root": "/gone"}},
    )
    made = picked(gone, tmp_path / "a")
    assert made.rechecked is None
    assert made.unchecked.startswith("nothing was timed again or evaluated: the dataset is not at /gone")
    assert made.choice.record.number == 0
    assert picked(gone, tmp_path / "b", data=moved).rechecked is not None
    skipped = picked(study, tmp_path / "c", check=False)
    assert (skipped.rechecked, skipped.unchecked) == (None, "nothing was timed again or evaluated, as asked")


@pytest.mark.parametrize("target", [{"device": "cuda:7"}, {"affinity": [4095]}])
def test_on_a_machine_without_the_target_the_records_decide(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: dict[str, Any]
) -> None:
    record = study.record(2)
    record.config["target"] = target
    monkeypatch.setattr(Study, "records", lambda self: [record])
    made = picked(study, tmp_path / "package")
    assert made.rechecked is None
    lacking = "nothing was timed again or evaluated: this machine lacks the study's target (target."
    assert made.unchecked.startswith(lacking)
    assert made.choice.record.number == 2
    assert (study.fact(2, "retiming"), study.test_record(2)) == (None, None)
    assert (made.package / "manifest.json").is_file()


def test_the_fact_of_a_retiming_holds_the_whole_target(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = study.record(2)
    record.config["target"] = {"affinity": [min(os.sched_getaffinity(0))]}
    monkeypatch.setattr(Study, "records", lambda self: [record])
    picked(study, tmp_path / "package", Wishes(trial=2))
    fact = study.fact(2, "retiming")
    assert fact is not None
    assert Target.from_dict(fact["target"]) == Target.from_dict(record.config["target"])


def test_another_dataset_is_refused(study: Study, tmp_path: Path) -> None:
    other = tmp_path / "other"
    prepare_synthetic(SyntheticOptions(identities=6, test_identities=2, images_per_camera=2), other)
    with pytest.raises(ConfigError, match="is not the dataset that the study was run on"):
        picked(study, tmp_path / "package", data=other)
    with pytest.raises(ConfigError, match=r"--data .*nowhere: no such folder"):
        picked(study, tmp_path / "package", data=tmp_path / "nowhere")
    assert not (tmp_path / "package").exists()


def test_a_study_that_cannot_be_written_is_no_reason_not_to_pick(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ResourceError("cannot write trials: Read-only file system")

    monkeypatch.setattr(search.recheck, "commit_fact", refuse)
    made = picked(study, tmp_path / "package")
    assert made.rechecked is not None
    kept = [doubt for doubt in made.rechecked.doubts if "not kept in the study" in doubt]
    assert len(kept) == 1
    assert study.test_record(1) is None
    assert (tmp_path / "package" / "manifest.json").is_file()


def test_a_study_on_another_runtime_is_timed_there_and_packed_for_onnxruntime(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed (an extra)")
    opened: list[str] = []
    real = search.packages.open_artifact
    monkeypatch.setattr(
        search.packages,
        "open_artifact",
        lambda path, target: (opened.append(target.runtime), real(path, target))[1],
    )
    record = study.record(2)
    record.config["target"] = {"runtime": "openvino"}
    monkeypatch.setattr(Study, "records", lambda self: [record])
    made = picked(study, tmp_path / "package", Wishes(trial=2))
    assert opened == ["openvino", "onnxruntime"]
    retiming = study.fact(2, "retiming")
    assert retiming is not None
    assert retiming["target"]["runtime"] == "openvino"
    assert verify(made.package, embedder_of(made.package)).min_cosine == pytest.approx(1, abs=1e-6)
