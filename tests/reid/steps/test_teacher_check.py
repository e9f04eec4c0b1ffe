"""Each teacher here is right when it is read in one way only; the check must find out which."""

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reid.data import MEAN, STD, Sample
from reid.errors import ConfigError
from reid.runtime.teacher import Teacher
from reid.runtime.teacher_spec import TeacherSpec
from reid.steps.teacher_check import GIVEN, check_reading, mistaken_readings

HEIGHT, WIDTH = 32, 16
PIXELS = {"mean": [0, 0, 0], "std": [1 / 255] * 3}
UNIT = {"mean": [0, 0, 0], "std": [1, 1, 1]}
IMAGENET = {"mean": list(MEAN), "std": list(STD)}


def spec(order: str = "RGB", reading: dict[str, Any] = UNIT, width: int = 8) -> TeacherSpec:
    values = {"height": HEIGHT, "width": WIDTH, "channel_order": order, "embedding_dim": width}
    return TeacherSpec.from_dict(values | reading)


def people(folder: Path, persons: int) -> Any:
    """Persons told apart by eight bands in the red channel; green and blue are noise, alike in range."""
    rng = np.random.default_rng(0)
    query, gallery = [], []
    for person in range(1, persons + 1):
        bands = np.repeat(rng.integers(0, 256, 8), HEIGHT // 8)[:, np.newaxis]
        for camera in (1, 2, 3):
            noise = np.repeat(rng.integers(0, 256, (2, 8)), HEIGHT // 8, axis=1)[..., np.newaxis]
            planes = np.stack([np.broadcast_to(p, (HEIGHT, WIDTH)) for p in (bands, *noise)], axis=2)
            path = folder / f"{person:04d}_c{camera}.png"
            Image.fromarray(planes.astype(np.uint8)).save(path)
            (query if camera == 1 else gallery).append(Sample(path, person, camera))
    return SimpleNamespace(query=tuple(query), gallery=tuple(gallery), dataset=SimpleNamespace(root=folder))


def red_bands(squash: Callable[[np.ndarray], np.ndarray] = lambda x: x, channel: int = 0) -> Any:
    """Embeds by the bands of one channel after a curve that suits one range of input only."""

    def network(images: np.ndarray) -> np.ndarray:
        bands = images[:, channel].mean(axis=2).reshape(len(images), 8, -1).mean(axis=2)
        return squash(bands).astype(np.float32)

    return network


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return people(tmp_path_factory.mktemp("people"), 24)


@pytest.mark.parametrize(("order", "channel"), [("RGB", 0), ("BGR", 2)])
def test_the_right_channel_order_passes_and_the_other_is_refused(data: Any, order: str, channel: int) -> None:
    def check(read_as: str) -> dict[str, float]:
        teacher = Teacher(spec=spec(read_as), network=red_bands(channel=channel), name="red")
        return check_reading(teacher, data, nullcontext)

    found = check(order)
    wrong = "BGR" if order == "RGB" else "RGB"
    assert found[GIVEN] > 0.9
    assert found[f"channel_order {wrong}"] < 0.6
    with pytest.raises(
        ConfigError, match=f"teacher red finds persons better with channel_order {order}.*correct"
    ):
        check(wrong)


@pytest.mark.parametrize(
    ("right", "wrong", "squash", "name"),
    [
        (UNIT, PIXELS, lambda x: np.minimum(x, 1), "pixels from 0 to 1"),
        (IMAGENET, PIXELS, np.sign, "ImageNet's mean and std"),
        (PIXELS, UNIT, lambda x: np.maximum(x - 20, 0), "pixels from 0 to 255"),
    ],
)
def test_a_wrong_range_is_refused(
    data: Any, right: dict[str, Any], wrong: dict[str, Any], squash: Any, name: str
) -> None:
    network = red_bands(squash)
    check_reading(Teacher(spec=spec(reading=right), network=network, name="net"), data, nullcontext)
    with pytest.raises(ConfigError, match=f"better with {name}"):
        check_reading(Teacher(spec=spec(reading=wrong), network=network, name="net"), data, nullcontext)


def test_a_reading_that_overflows_has_lost(data: Any) -> None:
    """As half-precision layers do where they are fed pixels."""
    network = red_bands(lambda x: np.where(np.abs(x) > 20, np.inf, x))
    found = check_reading(
        Teacher(spec=spec(reading=IMAGENET), network=network, name="net"), data, nullcontext
    )
    assert found["pixels from 0 to 255 (mean 0, std 1/255)"] == 0
    with pytest.raises(ConfigError, match="correct its mean and std"):
        check_reading(Teacher(spec=spec(reading=PIXELS), network=network, name="net"), data, nullcontext)


def test_a_teacher_that_knows_nothing_is_not_refused_by_chance(data: Any) -> None:
    rng = np.random.default_rng(1)
    noise = Teacher(
        spec=spec(), network=lambda x: rng.normal(size=(len(x), 8)).astype(np.float32), name="noise"
    )
    for _ in range(4):
        assert check_reading(noise, data, nullcontext)[GIVEN] < 0.6


def test_too_few_persons_give_no_verdict(tmp_path: Path) -> None:
    teacher = Teacher(spec=spec("BGR"), network=red_bands(), name="red")
    assert check_reading(teacher, people(tmp_path, 4), nullcontext) == {}


def test_every_batch_is_gated(data: Any) -> None:
    entered = []

    def gate() -> Any:
        entered.append(1)
        return nullcontext()

    shutil.rmtree(data.dataset.root / ".decoded", ignore_errors=True)
    check_reading(Teacher(spec=spec(), network=red_bands(), name="red"), data, gate)
    readings = 4  # 24 queries and 48 gallery images each, 16 at a time
    assert len(entered) == 24 + 48 + readings * (2 + 3)


def test_the_given_reading_is_no_mistake() -> None:
    for reading in (UNIT, PIXELS, IMAGENET):
        given = spec(reading=reading)
        others = mistaken_readings(given)
        assert len(others) == 3
        assert given not in others.values()
