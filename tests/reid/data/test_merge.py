import json
import shutil
from pathlib import Path

import pytest

from reid.data import load_dataset
from reid.data.prepare import prepare, prepare_merged
from reid.errors import ConfigError, DataError
from tests.reid.data.trees import write_images, write_market


@pytest.fixture
def first(tmp_path: Path) -> Path:
    write_market(tmp_path / "source-a")
    write_images(tmp_path / "source-a" / "gt_bbox", ["0007_c1s1_000031_00.jpg"])
    return prepare("market1501", tmp_path / "source-a", tmp_path / "a").root


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """The same names, so the same identities and cameras, but other pictures."""
    write_market(tmp_path / "source-b", ".png")
    return prepare("dukemtmc", tmp_path / "source-b", tmp_path / "b").root


def seen(root: Path) -> dict[str, list[tuple[int, int]]]:
    dataset = load_dataset("merged", root)
    parts = {"train": dataset.train, "query": dataset.query, "gallery": dataset.gallery}
    return {name: [(s.person_id, s.camera_id) for s in part] for name, part in parts.items()}


def test_identities_and_cameras_of_the_others_are_counted_on(
    first: Path, second: Path, tmp_path: Path
) -> None:
    """The highest of the first are identity 8 and camera 3."""
    prepared = prepare_merged([first, second], None, tmp_path / "both")
    assert prepared.images == {"train": 6, "query": 2, "gallery": 4, "multi_query": 1}
    assert not prepared.leaks
    alone = load_dataset("market1501", first)
    merged = load_dataset("merged", tmp_path / "both")
    for part in ("query", "gallery", "multi_query"):
        pairs = zip(getattr(merged, part), getattr(alone, part), strict=True)
        assert all((a.path.name, *a[1:]) == (b.path.name, *b[1:]) for a, b in pairs)
    assert seen(tmp_path / "both")["train"] == [(1, 1), (1, 2), (2, 1), (9, 4), (9, 5), (10, 4)]
    sources = json.loads((tmp_path / "both" / "sources.json").read_text())
    assert sources["bounding_box_train/0009_c4_0001_c1s1_000001_01.png"] == (
        "b/bounding_box_train/0001_c1s1_000001_01.png"
    )
    for name, origin in sources.items():
        assert (tmp_path / "both" / name).read_bytes() == (tmp_path / origin).read_bytes()


def test_the_chosen_one_gives_the_test_images(first: Path, second: Path, tmp_path: Path) -> None:
    prepared = prepare_merged([first, second], second, tmp_path / "both")
    assert prepared.images == {"train": 6, "query": 2, "gallery": 4}
    assert all(s.path.suffix == ".png" for s in load_dataset("merged", tmp_path / "both").query)
    assert prepare_merged([first, second], second, tmp_path / "both").already
    with pytest.raises(ConfigError, match="already prepared"):
        prepare_merged([first, second], first, tmp_path / "both")


def test_a_merged_set_can_be_merged_again(first: Path, second: Path, tmp_path: Path) -> None:
    prepare_merged([first, second], None, tmp_path / "two")
    write_market(tmp_path / "source-c", ".jpeg")
    third = prepare("market1501", tmp_path / "source-c", tmp_path / "c").root
    prepared = prepare_merged([third, tmp_path / "two"], third, tmp_path / "three")
    assert prepared.images["train"] == 9
    assert len({person for person, _ in seen(tmp_path / "three")["train"]}) == 6


def test_training_on_what_is_tested_is_reported(first: Path, tmp_path: Path) -> None:
    """A second dataset whose training images are the first one's queries, as when halves are swapped."""
    swapped = tmp_path / "swapped"
    write_market(swapped, ".png")
    shutil.copy(first / "query" / "0007_c1s1_000001_00.jpg", swapped / "bounding_box_train" / "0500_c1_1.jpg")
    other = prepare("market1501", swapped, tmp_path / "s").root
    prepared = prepare_merged([first, other], first, tmp_path / "both")
    assert prepared.leaks.identities == ()
    assert (
        "bounding_box_train/0508_c4_0500_c1_1.jpg",
        "query/0007_c1s1_000001_00.jpg",
    ) in prepared.leaks.images


def test_a_copy_and_a_part_are_refused(first: Path, second: Path, tmp_path: Path) -> None:
    """The network would learn that one person is two."""
    shutil.copytree(first, tmp_path / "copy")
    with pytest.raises(DataError, match=r"/a and .*/copy share training images \(3, e\.g\. 0001_c1s1"):
        prepare_merged([first, tmp_path / "copy"], None, tmp_path / "both")
    prepare_merged([first, second], None, tmp_path / "two")
    with pytest.raises(DataError, match=r"/b and .*/two share training images"):
        prepare_merged([second, tmp_path / "two"], None, tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_wrong_requests(first: Path, second: Path, tmp_path: Path) -> None:
    def refused(sources: list[Path], on: Path | None, error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            prepare_merged(sources, on, tmp_path / "both")
        assert not (tmp_path / "both").exists()

    refused([], None, ConfigError, "merged needs --from")
    refused([first], None, ConfigError, "two or more")
    refused([first, second, first], None, ConfigError, "is named twice")
    refused([first, second], tmp_path / "c", ConfigError, "c is none of the datasets that are merged")
    refused([first, tmp_path / "source-b"], None, DataError, "is no prepared dataset")
