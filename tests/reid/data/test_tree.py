import json
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.data import load_dataset
from reid.data.layout import Listing
from reid.data.prepare import prepare
from reid.data.tree import TreeOptions, tree_layout
from reid.errors import ConfigError, DataError
from tests.reid.data.trees import write_images

NAMES = TreeOptions(pattern=r"^(?P<person>\w+)/(?P<camera>\w+)-\d+")


def listing(tmp_path: Path, options: TreeOptions, *names: str) -> Listing:
    """The names need not be images to be listed."""
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tree_layout(tmp_path, tmp_path, options)


def grid(persons: int, cameras: int, images: int) -> list[str]:
    return [
        f"p{person}/{camera}-{number}.jpg"
        for person in range(persons) for camera in range(cameras) for number in range(images)
    ]  # fmt: skip


def test_a_tree_without_splits_becomes_a_dataset(tmp_path: Path) -> None:
    write_images(tmp_path / "tree", [*(f"{name}/{c}-{n}.png" for name in ("ann", "bob", "cyd", "dan", "eve")
                                      for c in ("door", "hall") for n in range(3)), "plan.jpg"])  # fmt: skip
    options = TreeOptions(pattern=NAMES.pattern, test_share=0.4, seed=1)
    prepared = prepare("folder", tmp_path / "tree", tmp_path / "out", tree=options)
    assert prepared.images == {"train": 18, "query": 4, "gallery": 8}
    assert (prepared.unmatched, prepared.official, bool(prepared.leaks)) == (1, None, False)
    dataset = load_dataset("folder", tmp_path / "out")
    train, test = ({s.person_id for s in part} for part in (dataset.train, dataset.query + dataset.gallery))
    assert (len(train), len(test), train & test) == (3, 2, set())
    sources = json.loads((tmp_path / "out" / "sources.json").read_text())
    assert len(sources) == 30
    for sample in (*dataset.train, *dataset.query, *dataset.gallery):
        origin = sources[sample.path.relative_to(dataset.root).as_posix()]
        name, file = origin.split("/")
        assert sample.path.read_bytes() == (tmp_path / "tree" / origin).read_bytes()
        assert sample.person_id == 1 + ["ann", "bob", "cyd", "dan", "eve"].index(name)
        assert sample.camera_id == 1 + ["door", "hall"].index(file.split("-")[0])
    assert prepare("folder", tmp_path / "tree", tmp_path / "out", tree=options).unmatched == 1
    with pytest.raises(ConfigError, match="with other options"):
        prepare("folder", tmp_path / "tree", tmp_path / "out", tree=NAMES)


def test_bad_images_are_called_by_their_own_names(tmp_path: Path) -> None:
    write_images(tmp_path / "tree", grid(4, 2, 2))
    (tmp_path / "tree" / "p1" / "0-1.jpg").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"1 bad image: p1/0-1\.jpg \(no JPEG or PNG\)"):
        prepare("folder", tmp_path / "tree", tmp_path / "out", tree=NAMES)
    prepared = prepare("folder", tmp_path / "tree", tmp_path / "out", tree=NAMES, skip_bad=True)
    assert prepared.skipped == ("p1/0-1.jpg",)
    assert "p1/0-1.jpg" not in json.loads((tmp_path / "out" / "sources.json").read_text()).values()


def test_linked_folders_are_entered_and_loops_left(tmp_path: Path) -> None:
    tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    write_images(tree, grid(3, 2, 2))
    write_images(elsewhere, grid(5, 2, 2))
    for name in ("p3", "p4"):
        (tree / name).symlink_to(elsewhere / name)
    (tree / "p0" / "up").symlink_to(tree)
    (tree / "p1" / "other").symlink_to(tree / "p2")
    (tree / "p2" / "other").symlink_to(tree / "p1")
    (tree / "p9").symlink_to(tree / "p0")
    write_images(tree / ".store", ["p5/0-0.jpg"])
    (tree / "p5").symlink_to(tree / ".store" / "p5")
    (tree / "itself").symlink_to(tree / "itself")
    (elsewhere / "p3" / "around").symlink_to(elsewhere)
    found = tree_layout(tree, tree, NAMES)
    origins = [item.origin for item in found.items]
    assert len(origins) == len(set(origins)) == 21
    # Those below p3/around, which the pattern does not take.
    assert found.unmatched == 20


def test_split_folders_are_obeyed(tmp_path: Path) -> None:
    options = TreeOptions(pattern=r"^(?P<split>\w+)/(?P<person>-?\d+)_c(?P<camera>\d+)")
    found = listing(
        tmp_path, options, "train/01_c1_a.jpg", "val/02_c1_a.jpg", "Query/07_c12_a.JPG", "gallery/07_c3_a.jpeg",
        "bounding_box_test/-1_c3_b.png",
    )  # fmt: skip
    placed = {one.origin: f"{one.folder}/{one.name}" for one in found.items}
    assert placed == {
        "Query/07_c12_a.JPG": "query/0007_c12_000001.jpg",
        "bounding_box_test/-1_c3_b.png": "bounding_box_test/-1_c3_000002.png",
        "gallery/07_c3_a.jpeg": "bounding_box_test/0007_c3_000003.jpeg",
        "train/01_c1_a.jpg": "bounding_box_train/0001_c1_000004.jpg",
        "val/02_c1_a.jpg": "bounding_box_train/0002_c1_000005.jpg",
    }


def test_a_test_folder_is_divided_into_query_and_gallery(tmp_path: Path) -> None:
    options = TreeOptions(pattern=r"^(?P<split>\w+)/(?P<person>\d+)_c(?P<camera>\d+)")
    test = [f"test/{person}_c{camera}_{n}.jpg" for person in (7, 8) for camera in (1, 2) for n in (1, 2)]
    found = listing(tmp_path, options, "train/1_c1_1.jpg", *test)
    folders = [one.folder for one in found.items]
    assert (folders.count("query"), folders.count("bounding_box_test")) == (4, 4)


@given(
    seen=st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=6, max_size=9),
    seed=st.integers(0, 5),
)
def test_every_query_keeps_a_right_image_from_another_camera(
    tmp_path_factory: pytest.TempPathFactory, seen: list[list[int]], seed: int
) -> None:
    names = [
        f"p{person}/{camera}-{number}.jpg"
        for person, counts in enumerate(seen)
        for camera, count in enumerate(counts)
        for number in range(count)
    ]
    options = TreeOptions(pattern=NAMES.pattern, seed=seed)
    try:
        items = listing(tmp_path_factory.mktemp("tree"), options, *names).items
    except DataError as error:
        # Too few people, or nobody in the drawn half was seen twice.
        assert any(reason in str(error) for reason in ("persons", "images", "gives no query"))  # noqa: PT017
        return
    gallery: dict[str, set[str]] = defaultdict(set)
    folders = defaultdict(set)
    for one in items:
        person, camera = one.name.split("_")[:2]
        folders[one.folder].add(person)
        if one.folder == "bounding_box_test":
            gallery[person].add(camera)
    for one in items:
        person, camera = one.name.split("_")[:2]
        if one.folder == "query":
            assert gallery[person] - {camera}
    assert len(items) == len(names)
    assert not folders["bounding_box_train"] & (folders["query"] | folders["bounding_box_test"])
    assert len(folders["bounding_box_train"]) >= 2


def test_the_seed_decides_who_is_tested_and_nothing_else_does(tmp_path: Path) -> None:
    names = grid(8, 2, 2)
    drawn = {
        seed: listing(tmp_path, TreeOptions(pattern=NAMES.pattern, seed=seed), *names) for seed in (0, 1)
    }
    assert drawn[0] != drawn[1]
    assert drawn[0] == listing(tmp_path, TreeOptions(pattern=NAMES.pattern, seed=0))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"pattern": "("}, r"pattern '\(' is no regular expression"),
        ({"pattern": r"(?P<person>\d+)"}, "lacks the group camera"),
        ({"pattern": r"\d+"}, "lacks the group person and camera"),
        ({"pattern": NAMES.pattern, "test_share": 1.0}, r"test_share must be in \(0, 1\)"),
        ({"pattern": NAMES.pattern, "seed": -1}, "seed must be at least 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        TreeOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "names", "match"),
    [
        (
            r"(?P<person>x\d)(?P<camera>y\d)",
            grid(4, 2, 2),
            r"matches none of the 16 images .*instance p0/0-0\.jpg",
        ),
        (NAMES.pattern, [".thumbs/a/1-1.jpg", "a/readme.txt"], "matches none of the 0 images"),
        (NAMES.pattern, grid(3, 2, 2), "has 3 persons; to divide them takes 4 or more"),
        (NAMES.pattern, grid(4, 1, 2), "gives no query images; queries need persons seen by two cameras"),
        (
            r"^(?P<split>\w)(?P<person>\d)/(?P<camera>\d)",
            grid(4, 2, 2),
            "gives the split 'p'; known: bounding_box",
        ),
    ],
)
def test_trees_that_do_not_serve(tmp_path: Path, pattern: str, names: list[str], match: str) -> None:
    with pytest.raises(DataError, match=match):
        listing(tmp_path, TreeOptions(pattern=pattern), *names)
