import json
import shutil
from pathlib import Path

import pytest

from reid.data import load_dataset
from reid.data.prepare import prepare
from reid.errors import DataError
from tests.reid.data.trees import write_images

LISTS = {
    "train": ["0000/0000_000_01_0303morning_0015_0.jpg 0", "0001/0001_001_15_0303noon_0400_1.jpg 1"],
    "val": ["0000/0000_010_07_0303morning_0017_0.jpg 0"],
    "query": ["0000/0000_000_02_0302afternoon_0015_0.jpg 0"],
    "gallery": ["0000/0000_004_11_0302afternoon_0018_2.jpg 0", "0002/0002_000_11_0302noon_0200_0.jpg 2"],
}
FOLDERS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}


def write_release(root: Path, version: str = "V1") -> Path:
    train, test = FOLDERS[version]
    for name, lines in LISTS.items():
        half = train if name in ("train", "val") else test
        write_images(root / half, [line.split()[0] for line in lines])
        (root / f"list_{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_lists_decide_the_splits_and_names_the_cameras(tmp_path: Path, version: str) -> None:
    """Both halves count identities from 0; here they must neither meet nor hold a 0, which is a distractor."""
    write_release(tmp_path / "up" / f"MSMT17_{version}", version)
    prepared = prepare("msmt17", tmp_path / "up", tmp_path / "out")
    assert (prepared.images, prepared.official) == ({"train": 3, "query": 1, "gallery": 2}, False)
    assert not prepared.leaks
    dataset = load_dataset("msmt17", tmp_path / "out")
    seen = [
        [(s.person_id, s.camera_id) for s in part] for part in (dataset.train, dataset.query, dataset.gallery)
    ]
    assert seen == [[(1, 1), (1, 7), (2, 15)], [(3, 2)], [(3, 11), (5, 11)]]
    sources = json.loads((tmp_path / "out" / "sources.json").read_text())
    assert sources["query/0003_c02_0000_000_02_0302afternoon_0015_0.jpg"] == (
        f"{FOLDERS[version][1]}/0000/0000_000_02_0302afternoon_0015_0.jpg"
    )
    for name, origin in sources.items():
        taken = tmp_path / "up" / f"MSMT17_{version}" / origin
        assert (tmp_path / "out" / name).read_bytes() == taken.read_bytes()
    assert prepare("msmt17", tmp_path / "up", tmp_path / "out").already


def test_an_archive_is_read_too(tmp_path: Path) -> None:
    write_release(tmp_path / "up" / "MSMT17_V1")
    archive = Path(shutil.make_archive(str(tmp_path / "x"), "gztar", tmp_path / "up"))
    prepare("msmt17", archive, tmp_path / "out")
    assert len(load_dataset("msmt17", tmp_path / "out").train) == 3


def test_missing_parts_are_named(tmp_path: Path) -> None:
    root = write_release(tmp_path / "up")
    (root / "test" / "0002" / "0002_000_11_0302noon_0200_0.jpg").unlink()
    with pytest.raises(DataError, match=r"lacks 1 listed images: test/0002/0002_000_11_0302noon_0200_0\.jpg"):
        prepare("msmt17", root, tmp_path / "out")
    (root / "list_val.txt").unlink()
    with pytest.raises(DataError, match=r"has list_train\.txt but not list_val\.txt"):
        prepare("msmt17", root, tmp_path / "out")
    shutil.rmtree(root / "test")
    with pytest.raises(DataError, match="neither train and test nor mask_train_v2 and mask_test_v2"):
        prepare("msmt17", root, tmp_path / "out")
    (root / "list_train.txt").unlink()
    with pytest.raises(DataError, match=r"holds no list_train\.txt within 3 levels"):
        prepare("msmt17", root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "line",
    [
        "0000/0000_000_01_x_0015_0.jpg",
        "0000/0000_000_x1_x_0015_0.jpg 0",
        "0000/0000_000_01_x_0015_0.jpg -1",
        "../../0000_000_01_x_0015_0.jpg 0",
        "/etc/0000_000_01_x_0015_0.jpg 0",
        "0000/passwd 0",
    ],
)
def test_lines_that_are_no_images_are_refused(tmp_path: Path, line: str) -> None:
    root = write_release(tmp_path / "up")
    with (root / "list_query.txt").open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(DataError, match=r"list_query\.txt line 3 is no image and identity"):
        prepare("msmt17", root, tmp_path / "out")


def test_an_image_on_two_lists_of_a_split_is_refused(tmp_path: Path) -> None:
    root = write_release(tmp_path / "up")
    shutil.copy(root / "list_train.txt", root / "list_val.txt")
    with pytest.raises(DataError, match="names 2 images twice"):
        prepare("msmt17", root, tmp_path / "out")
