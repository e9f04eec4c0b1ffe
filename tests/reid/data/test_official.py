from itertools import count
from pathlib import Path

import pytest

from reid.data.official import is_official
from reid.data.sample import Sample, Splits


def samples(images: int, first: int, identities: int, cameras: int) -> tuple[Sample, ...]:
    return tuple(
        Sample(Path(str(number)), first + number % identities, 1 + number % cameras)
        for number in range(images)
    )


def release(images: tuple[int, int, int], people: tuple[int, int], cameras: int) -> Splits:
    """Samples of as many images, people and cameras as the papers say."""
    train, test = people
    return Splits(
        train=samples(images[0], 1, train, cameras),
        query=samples(images[1], 10_000, test, cameras),
        gallery=samples(images[2], 10_000, test, cameras),
    )


@pytest.mark.parametrize(
    ("name", "images", "people", "cameras"),
    [
        ("market1501", (12_936, 3_368, 19_732), (751, 750), 6),
        ("dukemtmc", (16_522, 2_228, 17_661), (702, 702), 8),
        ("msmt17", (30_248 + 2_373, 11_659, 82_161), (1_041, 3_060), 15),
        ("cuhk03", (7_365, 1_400, 5_332), (767, 700), 2),
        ("cuhk03", (7_368, 1_400, 5_328), (767, 700), 2),
    ],
)
def test_published_counts_are_official_and_others_are_not(
    name: str, images: tuple[int, int, int], people: tuple[int, int], cameras: int
) -> None:
    whole = release(images, people, cameras)
    assert is_official(name, whole)
    assert is_official(name, whole._replace(multi_query=whole.query))
    assert not is_official(name, whole._replace(gallery=whole.gallery[1:]))
    number = count()
    one_person = tuple(s._replace(person_id=1, path=Path(str(next(number)))) for s in whole.train)
    assert not is_official(name, whole._replace(train=one_person))


def test_what_has_no_release_is_neither() -> None:
    assert is_official("synthetic", Splits(train=(), query=(), gallery=())) is None
