from pathlib import Path

import pytest

from reid.data.market1501 import FOLDERS, is_image_name, read_market1501
from reid.errors import DataError


def make(root: Path, split: str, *names: str) -> None:
    (root / FOLDERS[split]).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / FOLDERS[split] / name).write_bytes(b"x")


@pytest.mark.parametrize(
    ("name", "person_id", "camera_id"),
    [
        ("0002_c1s1_000451_03.jpg", 2, 1),
        ("1501_c6s3_086542_01.jpg.jpg", 1501, 6),
        ("-1_c3s1_000401_03.jpg", -1, 3),
        ("0000_c4s1_002401_02.JPEG", 0, 4),
        ("0005_c2_f0046985.jpg", 5, 2),
        ("0001_c12_3.png", 1, 12),
        ("12345_c1s1_1.Jpg", 12345, 1),
    ],
)
def test_names_are_read(tmp_path: Path, name: str, person_id: int, camera_id: int) -> None:
    make(tmp_path, "train", "0001_c1s1_000001_01.jpg")
    make(tmp_path, "query", "0002_c1s1_000001_01.jpg")
    make(tmp_path, "gallery", name)
    (sample,) = read_market1501(tmp_path).gallery
    assert sample == (tmp_path.resolve() / "bounding_box_test" / name, person_id, camera_id)


@pytest.mark.parametrize(
    "name",
    ["Thumbs.db", "readme.txt", "0002_c1s1_1.bmp", "._0002_c1s1_1.jpg", "0002.jpg", "0002_c1s1_1.jpg.tmp"],
)
def test_other_files_are_passed_over(tmp_path: Path, name: str) -> None:
    assert not is_image_name(name)
    for split in FOLDERS:
        make(tmp_path, split, name, "0002_c1s1_000451_03.jpg")
    assert [len(samples) for samples in read_market1501(tmp_path)[:3]] == [1, 1, 1]


def test_junk_and_distractors_stay_in_the_gallery_only(tmp_path: Path) -> None:
    names = ("-1_c1s1_1_1.jpg", "0000_c1s1_1_1.jpg", "0007_c1s1_1_1.jpg")
    for split in FOLDERS:
        make(tmp_path, split, *names)
    splits = read_market1501(tmp_path)
    assert [s.person_id for s in splits.train] == [s.person_id for s in splits.query] == [7]
    assert [s.person_id for s in splits.gallery] == [-1, 0, 7]


def test_missing_folders_are_named(tmp_path: Path) -> None:
    make(tmp_path, "train", "0001_c1s1_000001_01.jpg")
    with pytest.raises(DataError, match=r"query, bounding_box_test missing.*data prepare"):
        read_market1501(tmp_path)


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    for split in FOLDERS:
        make(tmp_path, split, "0001_c1s1_000001_01.jpg")
    (tmp_path / "query" / "0001_c1s1_000001_01.jpg").rename(tmp_path / "query" / "Thumbs.db")
    with pytest.raises(DataError, match="query holds no image"):
        read_market1501(tmp_path)
