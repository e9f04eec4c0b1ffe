from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.data import decode_images, load_dataset
from reid.data.market1501 import read_market1501
from reid.data.synthetic import SyntheticOptions, generate
from reid.data.synthetic_camera import CAMERAS, CROP_SIZE, background, capture
from reid.data.synthetic_figure import Place, Pose, paint_figure
from reid.data.synthetic_person import draw_person
from reid.errors import ConfigError

TINY = {"identities": 4, "test_identities": 2, "images_per_camera": 2, "cameras": 2}


def made(folder: Path, *, workers: int | None = None, **options: int) -> dict[str, bytes]:
    folder.mkdir()
    generate(SyntheticOptions(**TINY | options), folder, workers=workers)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}


def test_the_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    """However many threads draw, in whatever order."""
    assert made(tmp_path / "one", workers=1) == made(tmp_path / "many", workers=4)


def test_another_seed_gives_other_people_under_the_same_names(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one", seed=1), made(tmp_path / "other", seed=2)
    assert one.keys() == other.keys()
    assert not any(one[name] == other[name] for name in one)


def test_more_people_leave_the_others_as_they_were(tmp_path: Path) -> None:
    few, more = made(tmp_path / "few"), made(tmp_path / "more", identities=5)
    shared = {name for name in few if name.startswith("bounding_box_train")}
    assert {name: more[name] for name in shared} == {name: few[name] for name in shared}


def test_every_image_is_a_small_jpeg_of_market_size(small_root: Path) -> None:
    for path in small_root.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 128))


@pytest.mark.parametrize("cameras", [2, 3, 6])
def test_people_cameras_and_boxes_are_as_asked(tmp_path: Path, cameras: int) -> None:
    made(tmp_path / "data", cameras=cameras, images_per_camera=3)
    splits = read_market1501(tmp_path / "data")
    seen_by = cameras - (cameras > 2)
    assert Counter(s.person_id for s in splits.train) == {person: 3 * seen_by for person in range(1, 5)}
    assert Counter(s.person_id for s in splits.query) == {5: seen_by, 6: seen_by}
    gallery = Counter(s.person_id for s in splits.gallery)
    people = 2 * 2 * seen_by
    assert gallery == {5: people // 2, 6: people // 2, -1: round(0.29 * people), 0: round(0.21 * people)}
    assert {s.camera_id for s in splits.train} == set(range(1, cameras + 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [("identities", 3), ("test_identities", 1), ("images_per_camera", 1), ("cameras", 7), ("seed", -1)],
)
def test_sizes_out_of_range_are_named(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"{name} must be \d+ to \d+, got {value}"):
        SyntheticOptions(**{name: value})


def test_several_people_share_colours_and_none_is_another(tmp_path: Path) -> None:
    people = [draw_person(np.random.default_rng([0, 0, number])) for number in range(1, 73)]
    assert len(set(people)) == 72
    rough = Counter(tuple(value // 64 for value in person.top) for person in people)
    assert sum(count for count in rough.values() if count >= 3) > 48


def test_a_figure_fills_its_place_and_nothing_else() -> None:
    canvas = Image.new("RGB", (256, 512), (0, 255, 0))
    person = draw_person(np.random.default_rng(1))
    paint_figure(
        canvas,
        person,
        Pose(view=0.0, phase=1.0, stride=0.3),
        Place(centre=128, top=56, height=400, pitch=0.0),
    )
    rows, columns = np.nonzero((np.asarray(canvas) != (0, 255, 0)).any(axis=2))
    assert abs(rows.min() - 56) < 8
    assert abs(rows.max() - 456) < 16
    assert abs((columns.min() + columns.max()) / 2 - 128) < 12
    assert 0.25 < (columns.max() - columns.min()) / 400 < 0.5


def test_front_and_back_differ_and_sides_mirror() -> None:
    def seen(view: float) -> np.ndarray:
        canvas = Image.new("RGB", (200, 400), (0, 255, 0))
        person = draw_person(np.random.default_rng(4))
        paint_figure(
            canvas,
            person,
            Pose(view=view, phase=0.7, stride=0.4),
            Place(centre=100, top=20, height=360, pitch=0),
        )
        return np.asarray(canvas).astype(int)

    assert (abs(seen(0.0) - seen(np.pi)).max(axis=2) > 40).mean() > 0.005
    left, right = seen(-np.pi / 2), seen(np.pi / 2)
    silhouettes = [(image != (0, 255, 0)).any(axis=2) for image in (left[:, ::-1], right)]
    assert (silhouettes[0] == silhouettes[1]).mean() > 0.9


def test_cameras_cast_blur_and_light_the_same_picture_differently() -> None:
    grey = Image.new("RGB", CROP_SIZE[::-1], (128, 128, 128))
    means = [
        np.mean(
            [np.asarray(capture(grey, camera, np.random.default_rng(n))).mean(axis=(0, 1)) for n in range(8)],
            axis=0,
        )
        for camera in CAMERAS
    ]
    apart = [abs(one - other).max() for i, one in enumerate(means) for other in means[:i]]
    assert min(apart) > 2
    assert max(apart) > 30


def test_a_cameras_scene_is_its_own() -> None:
    scenes = [
        [np.asarray(background(camera, np.random.default_rng(n))).mean(axis=(0, 1)) for n in range(6)]
        for camera in CAMERAS
    ]
    spread = np.mean([np.std(scene, axis=0).max() for scene in scenes])
    centres = np.mean(scenes, axis=1)
    nearest = min(np.linalg.norm(one - other) for i, one in enumerate(centres) for other in centres[:i])
    assert nearest > spread


def test_people_can_be_told_apart_but_not_by_raw_pixels(tmp_path: Path) -> None:
    """Colour of chest and legs after taking out the camera's mean finds the right person far more often than
    all pixels do, and neither always: what a network must learn is there and is not given away.
    """
    (tmp_path / "data").mkdir()
    generate(SyntheticOptions(identities=4, test_identities=16, images_per_camera=2), tmp_path / "data")
    dataset = load_dataset("synthetic", tmp_path / "data")
    samples = [s for s in (*dataset.query, *dataset.gallery) if s.person_id > 0]
    people = np.array([s.person_id for s in samples])
    cameras = np.array([s.camera_id for s in samples])
    pixels = decode_images(samples, CROP_SIZE, dataset.root).array.astype(np.float32)

    chest, legs = pixels[:, 28:56, 24:40].mean(axis=(1, 2)), pixels[:, 72:104, 24:40].mean(axis=(1, 2))
    clothes = np.concatenate([chest, legs], axis=1)
    for camera in np.unique(cameras):
        clothes[cameras == camera] -= clothes[cameras == camera].mean(axis=0)

    def rank1(features: np.ndarray) -> float:
        distance = np.linalg.norm(features[:, None] - features[None], axis=2)
        distance[cameras[:, None] == cameras[None]] = np.inf
        return float((people[distance.argmin(axis=1)] == people).mean())

    by_pixels, by_clothes = rank1(pixels[:, ::4, ::4].reshape(len(pixels), -1)), rank1(clothes)
    assert by_pixels < 0.5 < by_clothes < 0.98
    assert by_clothes > by_pixels + 0.2
