import json
import shutil
from pathlib import Path

import pytest

from reid.data import load_dataset
from reid.data.inspect import inspect
from reid.data.leaks import Leaks, find_leaks
from reid.data.prepare import prepare
from tests.reid.data.trees import write_market


@pytest.fixture
def market(tmp_path: Path) -> Path:
    write_market(tmp_path / "Market")
    return tmp_path / "Market"


def leaks_of(root: Path) -> Leaks:
    dataset = load_dataset("market1501", root)
    return find_leaks(dataset.train, (*dataset.query, *dataset.gallery), dataset.root)


def test_a_clean_dataset_has_none(market: Path) -> None:
    assert leaks_of(market) == Leaks()
    assert not leaks_of(market)


def test_the_same_bytes_under_another_name_are_found(market: Path) -> None:
    query = market / "query" / "0007_c1s1_000001_00.jpg"
    shutil.copy(query, market / "bounding_box_train" / "0099_c1s1_1.jpg")
    shutil.copy(query, market / "bounding_box_test" / "0000_c1s1_1.jpg")
    assert leaks_of(market) == Leaks(
        images=(
            ("bounding_box_train/0099_c1s1_1.jpg", "query/0007_c1s1_000001_00.jpg"),
            ("bounding_box_train/0099_c1s1_1.jpg", "bounding_box_test/0000_c1s1_1.jpg"),
        )
    )


def test_the_same_size_is_not_the_same_image(market: Path) -> None:
    content = (market / "query" / "0007_c1s1_000001_00.jpg").read_bytes()
    other = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
    (market / "bounding_box_train" / "0099_c1s1_1.jpg").write_bytes(other)
    assert not leaks_of(market)


def test_an_identity_in_both_is_found_junk_and_distractors_are_not(market: Path) -> None:
    for name in ("0007_c5s1_9.jpg", "-1_c5s1_9.jpg", "0000_c5s1_9.jpg"):
        shutil.copy(
            market / "bounding_box_train" / "0001_c1s1_000001_01.jpg", market / "bounding_box_train" / name
        )
    assert leaks_of(market) == Leaks(identities=(7,))


def test_prepare_and_inspect_report_them(market: Path, tmp_path: Path) -> None:
    shutil.copy(market / "query" / "0008_c2s1_000001_00.jpg", market / "bounding_box_train")
    prepared = prepare("market1501", market, tmp_path / "out")
    pair = ("bounding_box_train/0008_c2s1_000001_00.jpg", "query/0008_c2s1_000001_00.jpg")
    assert prepared.leaks == Leaks(identities=(8,), images=(pair,))
    found = inspect(tmp_path / "out")
    assert (found.shared_identities, found.shared_images) == (1, (pair,))
    values = found.to_dict()
    assert json.loads(json.dumps(values)) == values
    again = prepare("market1501", market, tmp_path / "out")
    assert (again.already, again.leaks) == (True, prepared.leaks)


def test_a_folder_prepared_before_there_was_a_guard_is_searched(market: Path, tmp_path: Path) -> None:
    prepare("market1501", market, tmp_path / "out")
    manifest = tmp_path / "out" / "dataset.json"
    values = json.loads(manifest.read_text())
    del values["leaks"], values["unmatched"]
    manifest.write_text(json.dumps(values))
    shutil.move(
        tmp_path / "out" / "bounding_box_test" / "0008_c1s1_000009_01.jpg",
        tmp_path / "out" / "bounding_box_test/x",
    )
    shutil.copy(
        tmp_path / "out" / "bounding_box_train" / "0001_c1s1_000001_01.jpg",
        tmp_path / "out" / "bounding_box_test",
    )
    again = prepare("market1501", market, tmp_path / "out")
    assert again.leaks.identities == (1,)
    assert [test for _, test in again.leaks.images] == ["bounding_box_test/0001_c1s1_000001_01.jpg"]
