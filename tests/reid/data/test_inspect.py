import json
import shutil
from pathlib import Path

import pytest

from reid.data import load_dataset
from reid.data.inspect import SplitFacts, inspect
from reid.errors import DataError


@pytest.fixture
def root(small_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_root, tmp_path / "data"))


def test_counts_of_a_healthy_dataset(root: Path) -> None:
    """6 and 3 people, 3 cameras of which each person misses one, 2 images each, one of them a query."""
    found = inspect(root)
    assert found.train == SplitFacts(images=24, identities=6, cameras=3, junk=0, distractors=0)
    assert found.query == SplitFacts(images=6, identities=3, cameras=3, junk=0, distractors=0)
    assert found.gallery == SplitFacts(images=9, identities=3, cameras=3, junk=2, distractors=1)
    assert (found.shared_identities, found.unmatched_queries, found.ignored, found.bad) == (0, 0, 0, ())
    assert (found.multi_query.images, found.shared_images) == (0, ())
    assert found.fingerprint == load_dataset("synthetic", root).fingerprint


def test_what_is_wrong_is_counted(root: Path) -> None:
    dataset = load_dataset("synthetic", root)
    dataset.query[0].path.write_bytes(b"torn")
    shutil.copy(dataset.train[0].path, root / "bounding_box_test")
    (root / "query" / "Thumbs.db").touch()
    lonely = dataset.query[-1]
    for sample in dataset.gallery:
        if sample.person_id == lonely.person_id:
            sample.path.unlink()
    found = inspect(root)
    assert found.bad == ((f"query/{dataset.query[0].path.name}", "no JPEG or PNG"),)
    assert (found.shared_identities, found.unmatched_queries, found.ignored) == (1, 2, 1)
    train = dataset.train[0].path.name
    assert found.shared_images == ((f"bounding_box_train/{train}", f"bounding_box_test/{train}"),)


def test_a_multi_query_is_counted_and_checked(root: Path) -> None:
    query = load_dataset("synthetic", root).query[0]
    (root / "gt_bbox").mkdir()
    for number in range(3):
        shutil.copy(query.path, root / "gt_bbox" / f"{query.person_id:04d}_c1_{number}.jpg")
    (root / "gt_bbox" / f"{query.person_id:04d}_c1_1.jpg").write_bytes(b"torn")
    (root / "gt_bbox" / "Thumbs.db").touch()
    found = inspect(root)
    assert found.multi_query == SplitFacts(images=3, identities=1, cameras=1, junk=0, distractors=0)
    assert [name for name, _ in found.bad] == [f"gt_bbox/{query.person_id:04d}_c1_1.jpg"]
    assert found.ignored == 1


def test_to_dict_is_plain_json(root: Path) -> None:
    (load_dataset("synthetic", root).query[0].path).write_bytes(b"torn")
    values = inspect(root).to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["gallery"]["junk"] == 2


def test_a_folder_that_was_not_prepared_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data prepare"):
        inspect(tmp_path)
