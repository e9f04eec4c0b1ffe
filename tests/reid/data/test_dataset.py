import json
import pickle
import shutil
from pathlib import Path

import pytest

from reid.data import DATASETS, dataset_name, load_dataset
from reid.errors import ConfigError, DataError


def test_every_split_lies_below_the_root(small_root: Path) -> None:
    dataset = load_dataset(dataset_name(small_root), small_root)
    assert (len(dataset.train), len(dataset.query), len(dataset.gallery)) == (24, 6, 9)
    assert dataset.root.is_absolute()
    for sample in (*dataset.train, *dataset.query, *dataset.gallery):
        assert sample.path.is_file()
        assert sample.path.is_relative_to(dataset.root)


def test_relative_root_gives_absolute_paths(small_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_root.parent)
    assert load_dataset("synthetic", "small") == load_dataset("synthetic", small_root)


def test_unknown_dataset_lists_the_known(small_root: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"'market1502'; did you mean market1501.*dukemtmc, .*market1501, .*synthetic"
    ):
        load_dataset("market1502", small_root)


def test_a_folder_of_another_dataset_is_refused(small_root: Path) -> None:
    with pytest.raises(ConfigError, match="holds the dataset synthetic, not market1501"):
        load_dataset("market1501", small_root)


def test_a_folder_unpacked_by_hand_is_taken_at_its_word(small_root: Path, tmp_path: Path) -> None:
    shutil.copytree(small_root, tmp_path / "bare", ignore=shutil.ignore_patterns("dataset.json"))
    assert len(load_dataset("market1501", tmp_path / "bare").train) == 24
    with pytest.raises(DataError, match=r"no prepared dataset \(dataset.json"):
        dataset_name(tmp_path / "bare")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "mars"}', "\xff"])
def test_a_damaged_manifest_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"dataset\.json (is damaged|names the unknown dataset 'mars')"):
        dataset_name(tmp_path)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_the_manifest_names_each_dataset(tmp_path: Path, name: str) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"name": name}))
    assert dataset_name(tmp_path) == name


def test_fingerprint_follows_names_and_sizes_only(small_root: Path, tmp_path: Path) -> None:
    original = load_dataset("synthetic", small_root)
    shutil.copytree(small_root, tmp_path / "copy", copy_function=shutil.copyfile)
    copy = load_dataset("synthetic", tmp_path / "copy")
    assert copy.fingerprint == original.fingerprint
    assert pickle.loads(pickle.dumps(copy)).fingerprint == original.fingerprint

    copy.query[0].path.write_bytes(b"shorter")
    resized = load_dataset("synthetic", tmp_path / "copy").fingerprint
    copy.query[0].path.rename(copy.query[0].path.with_name("0009_c1s1_000001_09.jpg"))
    renamed = load_dataset("synthetic", tmp_path / "copy").fingerprint
    assert len({original.fingerprint, resized, renamed}) == 3


def test_fingerprint_tells_the_splits_apart(small_root: Path, tmp_path: Path) -> None:
    shutil.copytree(small_root, tmp_path / "copy")
    moved = load_dataset("synthetic", tmp_path / "copy").gallery[-1].path
    moved.rename(moved.parent.parent / "query" / moved.name)
    changed = load_dataset("synthetic", tmp_path / "copy").fingerprint
    assert changed != load_dataset("synthetic", small_root).fingerprint


def test_fingerprint_of_a_lost_image_is_an_error(small_root: Path, tmp_path: Path) -> None:
    shutil.copytree(small_root, tmp_path / "copy")
    dataset = load_dataset("synthetic", tmp_path / "copy")
    dataset.train[3].path.unlink()
    with pytest.raises(DataError, match=f"{dataset.train[3].path.name} cannot be read"):
        _ = dataset.fingerprint


def test_splits_may_be_links(small_root: Path, tmp_path: Path) -> None:
    """A large disk often holds the images, and a folder of links the dataset."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for entry in small_root.iterdir():
        (linked / entry.name).symlink_to(entry)
    one, other = (load_dataset("synthetic", root) for root in (small_root, linked))
    assert one.fingerprint == other.fingerprint
    assert all(sample.path.is_relative_to(linked) for sample in other.train)
