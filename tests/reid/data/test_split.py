from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.data import ReIDDataset, Sample, load_dataset, split_validation
from reid.errors import ConfigError, DataError


def dataset(*seen: tuple[int, int, int]) -> ReIDDataset:
    """A dataset that exists by name only, from (identity, camera, images)."""
    train = tuple(
        Sample(Path(f"/data/{person:04d}_c{camera}s1_{number:06d}_01.jpg"), person, camera)
        for person, camera, images in seen
        for number in range(images)
    )
    return ReIDDataset(name="market1501", root=Path("/data"), train=train, query=(), gallery=())


FULL = dataset(*((person, camera, 3) for person in range(1, 21) for camera in (1, 2, 5)))

sizes = st.dictionaries(
    st.integers(1, 60),
    st.dictionaries(st.integers(1, 6), st.integers(2, 4), min_size=2),
    min_size=4,
    max_size=20,
)


@given(sizes, st.floats(0.05, 0.45), st.integers(0, 2**40))
def test_parts_divide_the_training_images(people: dict[int, dict[int, int]], share: float, seed: int) -> None:
    whole = dataset(*((person, camera, n) for person, seen in people.items() for camera, n in seen.items()))
    split = split_validation(whole, share, seed)
    assert sorted((*split.train, *split.val_query, *split.val_gallery)) == sorted(whole.train)
    held_out = {s.person_id for s in split.val_query}
    assert held_out == {s.person_id for s in split.val_gallery}
    assert not held_out & {s.person_id for s in split.train}
    assert len(held_out) == max(2, round(share * len(people)))
    queries = Counter((s.person_id, s.camera_id) for s in split.val_query)
    assert queries == {(person, camera): 1 for person in held_out for camera in people[person]}


def test_the_order_of_files_does_not_matter() -> None:
    backwards = ReIDDataset(name="market1501", root=FULL.root, train=FULL.train[::-1], query=(), gallery=())
    one, other = split_validation(FULL, 0.2, 3), split_validation(backwards, 0.2, 3)
    assert set(one.train) == set(other.train)
    assert set(one.val_query) == set(other.val_query)


def test_the_seed_decides_identities_and_queries() -> None:
    splits = [split_validation(FULL, 0.2, seed) for seed in range(20)]
    assert len({frozenset(s.person_id for s in split.val_query) for split in splits}) > 15
    assert {s.path.stem[-9:-3] for split in splits for s in split.val_query} == {"000000", "000001", "000002"}
    assert split_validation(FULL, 0.2, 7) == splits[7]


def test_the_split_is_the_same_on_every_machine() -> None:
    """Frozen: a change of this rule would silently make old and new trials incomparable."""
    held_out = {s.person_id for s in split_validation(FULL, 0.2, 0).val_query}
    assert held_out == {4, 10, 14, 16}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_outside_the_range_is_an_error(share: float) -> None:
    with pytest.raises(ConfigError, match=r"must be in \(0, 1\)"):
        split_validation(FULL, share, 0)


def test_two_identities_must_remain() -> None:
    with pytest.raises(DataError, match="has 3 training identities; add some"):
        split_validation(dataset((1, 1, 2), (2, 1, 2), (3, 1, 2)), 0.1, 0)
    with pytest.raises(ConfigError, match=r"validation_share 0\.95 holds 19 of the 20 .* lower it"):
        split_validation(FULL, 0.95, 0)


@pytest.mark.parametrize("seen", [((1, 5),), ((1, 1), (2, 1))], ids=["one camera", "one image per camera"])
def test_validation_without_any_match_is_an_error(seen: tuple[tuple[int, int], ...]) -> None:
    lonely = dataset(*((person, camera, n) for person in range(1, 9) for camera, n in seen))
    with pytest.raises(DataError, match="no validation identity is seen by two cameras"):
        split_validation(lonely, 0.3, 0)


def test_generated_data_can_be_split(small_root: Path) -> None:
    split = split_validation(load_dataset("synthetic", small_root), 0.3, 0)
    assert (len(split.train), len(split.val_query), len(split.val_gallery)) == (16, 4, 4)
