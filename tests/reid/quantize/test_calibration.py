from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.data import Sample
from reid.errors import ConfigError, DataError
from reid.quantize import calibration_samples

FOLDER = Path("/data/train")


def samples(images_of_each: list[int]) -> list[Sample]:
    return [
        Sample(FOLDER / f"{person:04d}_{image}.jpg", person, image % 6 + 1)
        for person, count in enumerate(images_of_each, start=1)
        for image in range(count)
    ]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 200), st.integers(0, 5))
def test_identities_are_drawn_equally_often(images_of_each: list[int], count: int, seed: int) -> None:
    train = samples(images_of_each)
    drawn = calibration_samples(train, count, seed, [])
    assert list(drawn) == sorted(set(drawn))
    assert len(drawn) == min(count, len(train))
    times = Counter(train[index].person_id for index in drawn)
    most = max(times.values())
    for person, available in enumerate(images_of_each, start=1):
        assert times[person] >= min(available, most - 1)


def test_seed_decides() -> None:
    train = samples([10] * 30)
    draws = {calibration_samples(train, 20, seed, []) for seed in range(5)}
    assert len(draws) == 5
    assert calibration_samples(train, 20, 3, []) == calibration_samples(train, 20, 3, [])


def test_order_of_the_files_does_not_favour_an_identity() -> None:
    train = samples([4] * 40)
    drawn = Counter(
        train[i].person_id for seed in range(300) for i in calibration_samples(train, 10, seed, [])
    )
    # Binomial(300, 1/4): mean 75, deviation 7.5.
    assert min(drawn[person] for person in range(1, 41)) > 40
    assert max(drawn.values()) < 110


def test_forbidden_image_is_named() -> None:
    train = samples([3, 3])
    with pytest.raises(DataError, match=r"0002_1\.jpg is a query or gallery image"):
        calibration_samples(train, 1, 0, iter([Path("/data/query/0001.jpg"), train[4].path]))


@pytest.mark.parametrize("linked", ["train", "forbidden"])
def test_forbidden_image_is_found_behind_a_link(tmp_path: Path, linked: str) -> None:
    real, link = tmp_path / "real.jpg", tmp_path / "link.jpg"
    real.write_bytes(b"x")
    link.symlink_to(real)
    ours, theirs = (link, real) if linked == "train" else (real, link)
    with pytest.raises(DataError, match=ours.name):
        calibration_samples([Sample(ours, 1, 1)], 1, 0, [theirs])


@pytest.mark.parametrize(("train", "count"), [([], 4), (samples([2]), 0), (samples([2]), -1)])
def test_nothing_to_draw_is_refused(train: list[Sample], count: int) -> None:
    with pytest.raises(ConfigError, match="calibration needs at least 1 image"):
        calibration_samples(train, count, 0, [])
