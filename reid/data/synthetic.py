"""A generated dataset built like Market-1501: what the project runs on when nothing is downloaded.

People are drawn, six cameras look at them, boxes are imprecise, things stand in the way, and the gallery
holds junk and distractors. It is written in Market-1501's layout under its kind of names, so that the same
reader lists it.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from reid.data.market1501 import FOLDERS
from reid.data.parallel import Progress, map_in_order
from reid.data.sample import DISTRACTOR, JUNK
from reid.data.synthetic_camera import CAMERAS, CROP_SIZE, Camera, background, capture
from reid.data.synthetic_figure import Place, Pose, paint_figure
from reid.data.synthetic_person import Person, draw_person
from reid.errors import ConfigError

__all__ = ["SyntheticOptions", "generate"]

_OVERSAMPLING = 4
_JPEG_QUALITY = 88
# Shares of Market-1501's gallery: 3,819 junk and 2,798 distractors beside 13,115 boxes of people.
_JUNK_SHARE = 0.29
_DISTRACTOR_SHARE = 0.21


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticOptions:
    """Sizes of the generated dataset.

    Attributes:
        identities: people to train on, 4 to 5,000.
        test_identities: people of query and gallery, 2 to 5,000.
        images_per_camera: boxes of one person in one camera, 2 to 99.
        cameras: 2 to 6. With more than two, every person is missed by one of them.
        seed: >= 0; the same options give the same bytes.
    """

    identities: int = 48
    test_identities: int = 24
    images_per_camera: int = 4
    cameras: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"{name} must be {least} to {most}, got {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


_RANGES = {
    "identities": (4, 5_000), "test_identities": (2, 5_000), "images_per_camera": (2, 99),
    "cameras": (2, len(CAMERAS)), "seed": (0, 2**63 - 1),
}  # fmt: skip


class _Box(NamedTuple):
    """One image to be made; `number` tells images of the same person and camera apart."""

    folder: str
    person_id: int
    camera: int
    number: int

    @property
    def name(self) -> str:
        person = "-1" if self.person_id == JUNK else f"{self.person_id:04d}"
        return f"{person}_c{self.camera + 1}s1_{self.number * 25 + 1:06d}_{self.number % 7 + 1:02d}.jpg"


def generate(
    options: SyntheticOptions, folder: Path, *, workers: int | None = None, progress: Progress | None = None
) -> None:
    """Write the dataset's three split folders below `folder`, which exists.

    Args:
        options: sizes and seed.
        folder: receives `bounding_box_train`, `query` and `bounding_box_test`.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few images.
    """
    for name in FOLDERS.values():
        (folder / name).mkdir()
    boxes = tuple(_boxes(options))
    make = partial(_write_box, options=options, folder=folder)
    for _ in map_in_order(make, boxes, what="generate", workers=workers, progress=progress):
        pass


def _boxes(options: SyntheticOptions) -> Iterator[_Box]:
    for person_id in range(1, options.identities + 1):
        for camera in _cameras_of(person_id, options):
            for number in range(options.images_per_camera):
                yield _Box(FOLDERS["train"], person_id, camera, number)
    in_gallery = 0
    for person_id in range(options.identities + 1, options.identities + options.test_identities + 1):
        for camera in _cameras_of(person_id, options):
            yield _Box(FOLDERS["query"], person_id, camera, 0)
            for number in range(1, options.images_per_camera):
                in_gallery += 1
                yield _Box(FOLDERS["gallery"], person_id, camera, number)
    for person_id, share in ((JUNK, _JUNK_SHARE), (DISTRACTOR, _DISTRACTOR_SHARE)):
        for number in range(round(share * in_gallery)):
            yield _Box(FOLDERS["gallery"], person_id, number % options.cameras, number)


def _cameras_of(person_id: int, options: SyntheticOptions) -> list[int]:
    missed = person_id % options.cameras if options.cameras > 2 else None
    return [camera for camera in range(options.cameras) if camera != missed]


def _write_box(box: _Box, *, options: SyntheticOptions, folder: Path) -> None:
    # Every box has a generator of its own: its bytes depend on no other box and on no order of threads.
    random = np.random.default_rng([options.seed, 1, box.person_id + 1, box.camera, box.number])
    camera = CAMERAS[box.camera]
    height, width = CROP_SIZE
    canvas = background(camera, random).resize(
        (width * _OVERSAMPLING, height * _OVERSAMPLING), Image.Resampling.BILINEAR
    )
    if box.person_id == JUNK:
        _paint_badly(canvas, camera, _stranger(random), random)
    elif box.person_id == DISTRACTOR:
        _paint_distractor(canvas, camera, random)
    else:
        look = draw_person(np.random.default_rng([options.seed, 0, box.person_id]))
        _paint_well(canvas, camera, look, random)
    picture = capture(canvas.reduce(_OVERSAMPLING), camera, random)
    picture.save(folder / box.folder / box.name, format="JPEG", quality=_JPEG_QUALITY)


def _stranger(random: np.random.Generator) -> Person:
    return draw_person(random)


def _pose(camera: Camera, random: np.random.Generator) -> Pose:
    return Pose(
        view=random.normal(camera.view, camera.view_spread),
        phase=random.uniform(0, 2 * math.pi),
        stride=random.uniform(0.25, 0.5),
    )


def _paint_well(canvas: Image.Image, camera: Camera, person: Person, random: np.random.Generator) -> None:
    """A box as a detector gives it: nearly right, and sometimes something stands in the way."""
    width, height = canvas.size
    tall = height * person.height * random.uniform(0.92, 1.05)
    place = Place(
        centre=width * random.normal(0.5, 0.05),
        top=(height - tall) * random.uniform(0.2, 0.8) + height * random.normal(0, 0.015),
        height=tall,
        pitch=camera.pitch,
    )
    paint_figure(canvas, person, _pose(camera, random), place)
    if random.random() < 0.16:
        _occlude(canvas, camera, random)


def _occlude(canvas: Image.Image, camera: Camera, random: np.random.Generator) -> None:
    width, height = canvas.size
    kind = random.integers(3)
    if kind == 0:
        edge = width * random.choice([-0.05, 1.05])
        place = Place(
            centre=edge, top=height * 0.08, height=height * random.uniform(0.9, 1.1), pitch=camera.pitch
        )
        paint_figure(canvas, _stranger(random), _pose(camera, random), place)
        return
    draw = ImageDraw.Draw(canvas)
    shade = int(random.integers(40, 150))
    if kind == 1:
        x = width * random.uniform(0.1, 0.9)
        draw.rectangle((x, 0, x + width * 0.09, height), fill=(shade, shade, shade + 8))
    else:
        y = height * random.uniform(0.68, 0.85)
        draw.rectangle((0, y, width, height), fill=(shade, shade - 8, shade - 16))


def _paint_badly(canvas: Image.Image, camera: Camera, person: Person, random: np.random.Generator) -> None:
    """A box that holds a part of a person: too large a scale and far off the middle."""
    width, height = canvas.size
    tall = height * random.uniform(1.5, 2.4)
    place = Place(
        centre=width * random.uniform(-0.1, 1.1),
        top=height * random.uniform(-1.2, 0.3),
        height=tall,
        pitch=camera.pitch,
    )
    paint_figure(canvas, person, _pose(camera, random), place)


def _paint_distractor(canvas: Image.Image, camera: Camera, random: np.random.Generator) -> None:
    """A false alarm of the detector: a thing, two people at a distance, or nothing at all."""
    width, height = canvas.size
    draw = ImageDraw.Draw(canvas)
    kind = random.integers(3)
    if kind == 0:
        red, green, blue = (int(value) for value in random.integers(30, 220, size=3))
        x, y = width * random.uniform(0.2, 0.5), height * random.uniform(0.1, 0.5)
        draw.rectangle((x, y, x + width * 0.35, height * 0.95), fill=(red, green, blue))
        draw.ellipse((x, y - width * 0.17, x + width * 0.35, y + width * 0.17), fill=(green, blue, red))
    elif kind == 1:
        for centre in (0.25, 0.72):
            tall = height * random.uniform(0.4, 0.6)
            place = Place(centre=width * centre, top=height * 0.3, height=tall, pitch=camera.pitch)
            paint_figure(canvas, _stranger(random), _pose(camera, random), place)
