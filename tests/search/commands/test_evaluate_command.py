"""`reid-pareto evaluate`: each option reaches the figures, and wrong ones are refused before anything is embedded."""

import dataclasses
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import search.evaluation
from reid.data import (
    ReIDDataset,
    Sample,
    decode_images,
    load_dataset,
    parallel,
    store,
)
from reid.data.archive import pack
from reid.errors import ConfigError, DataError, UnverifiedError
from reid.evaluate import Protocol, rank, rank_distances, rerank, spectral_distances
from reid.evaluate.embedder import Embedder
from reid.evaluate.examine import examine
from reid.models import build
from reid.models.osnet import OSNet
from reid.train import embed
from search.commands import evaluate as command
from tests.contract.deployment import tiny_artifact
from tests.search.commands.evaluating import APP, call

SIZE = (64, 32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(build("osnet_x0_25", 4).state_dict(), path)
    return path


@pytest.fixture
def given(data: Path, weights: Path) -> list[object]:
    return [weights, "--data", data, "--backbone", "osnet_x0_25", "--input-size", "64x32"]


@pytest.fixture(scope="module")
def arrays(data: Path, weights: Path) -> list[Any]:
    """Arguments of `rank` for the test split, made without the command."""
    dataset = load_dataset("synthetic", data)
    model = build("osnet_x0_25", 4, weights=weights)
    out: list[Any] = []
    for part in (dataset.query, dataset.gallery):
        out.append(embed(model, decode_images(part, SIZE, data).array))
        out += [np.array([s.person_id for s in part]), np.array([s.camera_id for s in part])]
    return out


def test_plain_rules_re_ranking_and_spectral(given: list[object], arrays: list[Any]) -> None:
    labels = arrays[1:3] + arrays[4:]
    expected = {
        (): rank(*arrays),
        ("--no-match", "count", "--same-camera", "keep", "--junk", "keep", "--distractors", "remove"): rank(
            *arrays, no_match="count", same_camera="keep", junk="keep", distractors="remove"
        ),
        ("--rerank",): rank_distances(rerank(arrays[0], arrays[3]), *labels),
        ("--spectral", "0.3", "--spectral-top", "6"): rank_distances(
            spectral_distances(arrays[0], arrays[3], 0.3, 6), *labels
        ),
    }
    protocols = set()
    for options, result in expected.items():
        answer = json.loads(call(*given, *options, "--json"))
        for name in ("mAP", "mAP_trapezoid", "rank1", "rank5", "rank10"):
            assert answer[name] == pytest.approx(getattr(result, name), abs=1e-6), options
        assert (answer["queries"], answer["skipped"]) == (result.num_queries, result.num_skipped)
        protocols.add(answer["protocol"])
    assert len(protocols) == 4


def test_long_decoding_is_told(given: list[object], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_CHUNK", 8)
    monkeypatch.setattr(parallel, "_SECONDS_A_LINE", 0.0)
    shutil.rmtree(data / ".decoded", ignore_errors=True)
    done = CliRunner().invoke(APP, [str(one) for one in given], catch_exceptions=False)
    gallery = len(load_dataset("synthetic", data).gallery)
    assert f"decode: 8 of {gallery} images" in done.stderr
    assert "decode" not in done.stdout


def test_text_names_both_definitions_and_the_protocol(given: list[object]) -> None:
    text = call(*given, "--flip", "--scales", "1,1.21")
    assert "mAP 0." in text
    assert "(trapezoid 0." in text
    assert "test split" in text
    assert "single query, flip, scales 1 and 1.21, cosine, junk removed" in text


def test_multi_query_reads_the_dataset(
    given: list[object], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="holds no multi-query images"):
        call(*given, "--multi-query")

    def with_more(name: str, root: Path) -> ReIDDataset:
        dataset = load_dataset(name, root)
        more = tuple(Sample(s.path, s.person_id, s.camera_id) for s in (*dataset.query, *dataset.gallery))
        return dataclasses.replace(dataset, multi_query=more)

    plain = json.loads(call(*given, "--json"))
    monkeypatch.setattr(command, "load_dataset", with_more)
    answer = json.loads(call(*given, "--multi-query", "--json"))
    assert answer["protocol"].startswith("multi-query, cosine")
    assert answer["mAP"] != plain["mAP"]


def test_a_picture_is_written_where_told(given: list[object], data: Path, tmp_path: Path) -> None:
    picture = tmp_path / "lists.png"
    answer = json.loads(call(*given, "--ranked-list", picture, "--queries", 3, "--json"))
    assert answer["ranked_list"] == str(picture)
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.height > 3 * 128
    assert list(tmp_path.iterdir()) == [picture]


def test_a_picture_of_real_people_stays_out_of_git(
    data: Path, given: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.evaluation, "dataset_name", lambda root: "market1501")
    (tmp_path / ".git").mkdir()
    with pytest.raises(ConfigError, match="lies in the git work tree"):
        call(*given, "--ranked-list", tmp_path / "deep" / "lists.png")
    assert not (tmp_path / "deep").exists()


def test_a_metric_of_ones_own(
    given: list[object], arrays: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_metric_of_the_command.py").write_text(
        "def widest(query, *rest): return abs(query).max()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = "own_metric_of_the_command:widest"
    answer = json.loads(call(*given, "--metric", path, "--json"))
    assert answer["metrics"][path]["widest"] == pytest.approx(float(np.abs(arrays[0]).max()), rel=1e-5)
    assert f"{path}: widest" in call(*given, "--metric", path)


def test_figures_are_told_although_a_metric_fails(
    given: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_metric_of_the_command.py").write_text("def fails(*everything): return 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = CliRunner().invoke(
        APP, [*map(str, given), "--metric", "failing_metric_of_the_command:fails", "--json"]
    )
    assert isinstance(done.exception, ConfigError)
    assert json.loads(done.stdout)["mAP"] > 0


def test_one_camera_is_told_before_anything_is_decoded(data: Path) -> None:
    dataset = load_dataset("synthetic", data)
    query, gallery = (
        [sample._replace(camera_id=1) for sample in part] for part in (dataset.query, dataset.gallery)
    )
    embedder = Embedder(
        embed=lambda images: pytest.fail("embedded"),
        input_size=SIZE,
        demand_size=lambda size: None,
        flips=False,
    )
    with pytest.raises(DataError, match="every image comes from camera 1"):
        examine(embedder, Path("nowhere"), query, gallery, Protocol())


def test_classification(given: list[object]) -> None:
    answer = json.loads(call(*given, "--classification", "--json"))
    assert (answer["images"], answer["identities"]) == (4, 4)
    assert 0 <= answer["accuracy"] <= answer["accuracy_top5"] == 1
    assert "one image of each of 4 training identities" in call(*given, "--classification")


@pytest.mark.parametrize("more", [["--metric", "own_metric_of_the_lock:held"], ["--classification"]])
def test_nothing_is_computed_beside_a_timing_and_with_other_threads(
    more: list[str], given: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: list[str] = []

    class Lock:
        def __init__(self, device: str) -> None:
            assert device == "cpu"

        @contextmanager
        def shared(self) -> Iterator[None]:
            inside.append("held")
            yield
            inside.pop()

    def watch(owner: Any, name: str) -> None:
        genuine = getattr(owner, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            assert inside, f"{name} runs beside a timing"
            assert torch.get_num_threads() == 3
            seen.add(name)
            return genuine(*arguments, **options)

        monkeypatch.setattr(owner, name, watched)

    seen: set[str] = set()
    (tmp_path / "own_metric_of_the_lock.py").write_text("def held(*arrays): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(command, "DeviceLock", Lock)
    watch(command, "apply_metric")
    watch(OSNet, "forward")
    watch(store, "decode")
    shutil.rmtree(Path(str(given[2])) / ".decoded", ignore_errors=True)
    before = torch.get_num_threads()
    call(*given, *more, "--threads", 3)
    assert torch.get_num_threads() == before
    assert seen == {"forward", "decode", *(["apply_metric"] if "--metric" in more else [])}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--no-match", "ignore"], "no_match must be skip or count"),
        (["--junk", "hide"], "junk must be keep or remove"),
        (["--scales", "1;2"], "--scales takes numbers"),
        (["--scales", "0"], "scales must be numbers above 0"),
        (["--spectral", "0"], "temperature of the spectral transform"),
        (["--spectral-top", "20"], "--spectral-top needs --spectral"),
        (["--spectral", "0.5", "--rerank"], "exclude each other"),
        (["--queries", "3"], "--queries needs --ranked-list"),
        (["--ranked-list", "lists.jpg"], "writes a PNG"),
        (["--ranked-list", "lists.png", "--queries", "0"], "--queries must be at least 1"),
        (["--metric", "no_such_module_at_all:f"], "cannot be imported"),
        (["--split", "train"], "--split must be test or validation"),
        (["--validation-share", "0.3"], "--validation-share needs --split validation"),
        (["--classification", "--flip"], "leave the options of retrieval out"),
        (["--set", "haed=linear"], "did you mean head"),
        (["--set", "dropout=x"], "dropout must be float or NoneType, got 'x'"),
        (["--set", "ibn=flase"], "ibn must be bool, got 'flase'"),
        (["--set", "width=null"], "width must be float, got None"),
        (["--set", "last_stride=true"], "last_stride must be int or NoneType, got True"),
        (["--set", "width=two", "--classification"], "width must be float, got 'two'"),
        (["--set", "head=linear"], "which embeddings pass through with head linear"),
        (["--seed", "1"], "--seed needs --split validation"),
        (["--ranked-list", "/dev/null/lists.png"], "cannot be written there"),
        (["--multi-query", "--split", "validation"], "--multi-query is for the test split"),
        (["--input-size", "0x0"], r"input_size must be \(height, width\) between"),
        (["--input-size", "0x0", "--classification"], r"input_size must be \(height, width\) between"),
        (
            ["--backbone", "densenet121", "--input-size", "64x16"],
            "densenet121 needs images of at least 32x32",
        ),
        (["--threads", "5000"], "--threads must be at most 1024, got 5000"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_embedded(
    given: list[object], options: list[str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("something was embedded")

    monkeypatch.setattr("reid.evaluate.examine.examine", never)
    with pytest.raises(ConfigError, match=named):
        call(*given, *options)


def test_an_exported_file_has_no_classifier_and_one_size(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from reid.data import MEAN, STD
    from reid.export import InputSpec, export_onnx

    caplog.set_level(logging.ERROR)
    torch.manual_seed(0)
    model = build("osnet_x0_25", 4).eval()
    spec = InputSpec(height=64, width=32, mean=MEAN, std=STD, embedding_dim=512, flip=True)
    export_onnx(model, spec, tmp_path / "model.onnx")
    answer = json.loads(call(tmp_path, "--data", data, "--json", "--threads", 1))
    assert answer["protocol"].startswith("single query, flip, cosine")
    same = json.loads(call(tmp_path / "model.onnx", "--data", data, "--flip", "--json", "--threads", 1))
    assert same == answer
    with pytest.raises(ConfigError, match="--threads must be at most 1024, got 5000"):
        call(tmp_path, "--data", data, "--threads", 5000)
    with pytest.raises(ConfigError, match="gives embeddings and has no classifier"):
        call(tmp_path / "model.onnx", "--data", data, "--classification")
    with pytest.raises(ConfigError, match="an exported file has no classifier"):
        call(tmp_path, "--data", data, "--classification")
    with pytest.raises(ConfigError, match="takes 64x32 only"):
        call(tmp_path, "--data", data, "--scales", "1,1.1")
    with pytest.raises(ConfigError, match="describes itself"):
        call(tmp_path, "--data", data, "--set", "head=linear")
    with pytest.raises(
        ConfigError, match=r"--input-size describes the network of a state dict; .* describes itself"
    ):
        call(tmp_path, "--data", data, "--input-size", "128x64")


@pytest.mark.parametrize("option", ["--threads", "--spectral-top"])
def test_counts_that_are_none_name_their_option(option: str, given: list[object]) -> None:
    done = CliRunner().invoke(APP, [*map(str, given), option, "0"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.stderr


@pytest.mark.parametrize("name", ["nowhere", "nowhere.onnx", "nowhere.pth"])
@pytest.mark.parametrize("more", [[], ["--classification"], ["--backbone", "osnet_x0_25"]])
def test_a_network_that_is_not_there_is_bad_input(
    name: str, more: list[str], data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="does not exist; name an ONNX file"):
        call(tmp_path / name, "--data", data, *more)


def test_a_zipped_package_is_judged_as_its_folder(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    tiny_artifact(folder)
    zipped = pack(folder, tmp_path / "package.zip")
    answers = [call(place, "--data", data, "--threads", 1, "--json") for place in (folder, zipped)]
    assert answers[0] == answers[1]
    zipped.write_bytes(zipped.read_bytes()[:-30])
    with pytest.raises(UnverifiedError, match=r"package\.zip"):
        call(zipped, "--data", data)


def test_a_folder_without_a_network_is_bad_input(data: Path, tmp_path: Path) -> None:
    said = r"holds no model\.onnx; name a package, or the folder of a train or trial that ended"
    with pytest.raises(ConfigError, match=said):
        call(tmp_path, "--data", data)
