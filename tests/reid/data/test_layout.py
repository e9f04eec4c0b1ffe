import shutil
from pathlib import Path

import pytest

from reid.data import load_dataset
from reid.data.prepare import prepare
from reid.errors import ConfigError, DataError
from tests.reid.data.trees import MARKET, write_images, write_market


def files(root: Path) -> dict[str, bytes]:
    """All images below the three split folders, by relative name."""
    return {
        f"{folder}/{path.name}": path.read_bytes() for folder in MARKET for path in (root / folder).iterdir()
    }


def to_layumi(market: Path, root: Path) -> None:
    """What the baseline's own preparation makes: the first image of an identity to val, the rest to train."""
    folders = {"bounding_box_train": "train_all", "query": "query", "bounding_box_test": "gallery"}
    for official, ours in folders.items():
        for path in sorted((market / official).iterdir()):
            person = path.name.split("_")[0]
            places = [ours]
            if ours == "train_all":
                places.append("train" if (root / "val" / person).exists() else "val")
            for place in places:
                (root / place / person).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, root / place / person / path.name)


@pytest.fixture
def market(tmp_path: Path) -> Path:
    write_market(tmp_path / "Market")
    return tmp_path / "Market"


@pytest.fixture
def layumi(market: Path) -> Path:
    """A `pytorch` folder alone; the official layout is elsewhere."""
    to_layumi(market, market.parent / "baseline" / "pytorch")
    return market.parent / "baseline"


@pytest.mark.parametrize("train", ["train_all", "train and val"])
@pytest.mark.parametrize("name", ["market1501", "dukemtmc"])
def test_the_layout_of_the_baseline_gives_the_official_one(
    layumi: Path, market: Path, tmp_path: Path, name: str, train: str
) -> None:
    if train != "train_all":
        shutil.rmtree(layumi / "pytorch" / "train_all")
    prepared = prepare(name, layumi, tmp_path / "out")
    assert files(tmp_path / "out") == files(market)
    assert prepared.images == {"train": 3, "query": 2, "gallery": 4}
    assert not (tmp_path / "out" / "sources.json").exists()


def test_the_official_layout_goes_before_that_of_the_baseline(market: Path, tmp_path: Path) -> None:
    to_layumi(market, market / "pytorch")
    next((market / "pytorch" / "query").glob("*/*")).unlink()
    assert prepare("market1501", market, tmp_path / "out").images["query"] == 2


def test_an_image_in_the_folder_of_another_identity_is_refused(layumi: Path, tmp_path: Path) -> None:
    image = next((layumi / "pytorch" / "gallery" / "0007").iterdir())
    image.rename(layumi / "pytorch" / "gallery" / "0008" / image.name)
    with pytest.raises(
        DataError, match=r"gallery/0008/0007_c2s1_000009_01[.]jpg lies in the folder of another"
    ):
        prepare("market1501", layumi, tmp_path / "out")


@pytest.mark.parametrize(
    ("gone", "match"),
    [
        (("query",), "has gallery but not query"),
        (("train_all", "val"), "has gallery but not train_all, nor train and val"),
        (("gallery",), "no bounding_box_train within 3 levels, nor the folders of the layumi baseline"),
    ],
)
def test_missing_folders_of_the_baseline_are_named(
    layumi: Path, tmp_path: Path, gone: tuple[str, ...], match: str
) -> None:
    for name in gone:
        shutil.rmtree(layumi / "pytorch" / name)
    with pytest.raises(DataError, match=match):
        prepare("market1501", layumi, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["official", "baseline"])
def test_hand_drawn_boxes_become_the_multi_query(market: Path, tmp_path: Path, kind: str) -> None:
    """`gt_bbox` holds all identities; only those of the queries can be pooled into queries."""
    wanted = ["0007_c1s1_000001_00.jpg", "0007_c1s1_000031_00.jpg", "0008_c1s1_000041_00.jpg"]
    others = ["0001_c1s1_000001_00.jpg", "0000_c1s1_000001_00.jpg"]
    if kind == "official":
        write_images(market / "gt_bbox", wanted + others)
        source = market
    else:
        source = tmp_path / "pytorch"
        to_layumi(market, source)
        for name in wanted + others:
            write_images(source / "multi-query" / name.split("_")[0], [name])
    prepared = prepare("market1501", source, tmp_path / "out")
    assert prepared.images == {"train": 3, "query": 2, "gallery": 4, "multi_query": 3}
    dataset = load_dataset("market1501", tmp_path / "out")
    assert [(s.path.name, s.person_id, s.camera_id) for s in dataset.multi_query] == [
        (wanted[0], 7, 1), (wanted[1], 7, 1), (wanted[2], 8, 1),
    ]  # fmt: skip
    assert not prepared.leaks, "the training identities of gt_bbox are no leak"
    assert prepare("market1501", source, tmp_path / "out").images == prepared.images


def test_the_fingerprint_follows_the_multi_query_only_where_there_is_one(market: Path) -> None:
    before = load_dataset("market1501", market).fingerprint
    (market / "gt_bbox").mkdir()
    write_images(market / "gt_bbox", ["0001_c1s1_000001_00.jpg"])
    assert load_dataset("market1501", market).fingerprint == before
    write_images(market / "gt_bbox", ["0007_c1s1_000031_00.jpg"])
    assert load_dataset("market1501", market).fingerprint != before


@pytest.fixture
def cuhk03(tmp_path: Path) -> Path:
    """Two kinds of box as PNG, the labelled ones with one image more."""
    root = tmp_path / "download"
    write_market(root / "cuhk03-np" / "detected", ".png")
    write_market(root / "cuhk03-np" / "labeled", ".png")
    write_images(root / "cuhk03-np" / "labeled" / "bounding_box_train", ["0002_c2_9.png"])
    return root


def test_cuhk03_takes_the_boxes_that_were_asked_for(cuhk03: Path, tmp_path: Path) -> None:
    assert prepare("cuhk03", cuhk03, tmp_path / "d").images["train"] == 3
    assert prepare("cuhk03", cuhk03, tmp_path / "l", boxes="labelled").images["train"] == 4
    assert prepare("cuhk03", cuhk03, tmp_path / "d", boxes="detected").already
    with pytest.raises(ConfigError, match="already prepared"):
        prepare("cuhk03", cuhk03, tmp_path / "d", boxes="labelled")
    archive = Path(shutil.make_archive(str(tmp_path / "np"), "zip", cuhk03))
    assert prepare("cuhk03", archive, tmp_path / "z", boxes="labelled").images["train"] == 4


def test_cuhk03_without_the_wanted_boxes(cuhk03: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no labelled boxes, only detected; choose with --boxes"):
        prepare("cuhk03", cuhk03 / "cuhk03-np" / "detected", tmp_path / "out", boxes="labelled")
    with pytest.raises(ConfigError, match="unknown kind of boxes 'labeled'; did you mean labelled"):
        prepare("cuhk03", cuhk03, tmp_path / "out", boxes="labeled")
    with pytest.raises(DataError, match="is it CUHK03-NP"):
        prepare("cuhk03", tmp_path / "download" / "cuhk03-np" / "labeled" / "query", tmp_path / "out")
    renamed = (cuhk03 / "cuhk03-np" / "labeled").rename(tmp_path / "mine")
    assert prepare("cuhk03", renamed, tmp_path / "m", boxes="labelled").images["train"] == 4
