"""Guards against a teacher that is read in the wrong way: no shape tells BGR from RGB, or 0 to 255 from 0 to 1.

A wrong reading does not fail, it teaches badly. So a few validation identities are ranked with the specification as
given and as it is most often mistaken; a specification that is clearly beaten is refused.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.data import MEAN, STD, Sample, decode_images
from reid.errors import ConfigError
from reid.evaluate import rank
from reid.evaluate.labelled import ids_and_cameras
from reid.runtime.teacher import Teacher
from reid.runtime.teacher_spec import TeacherSpec
from reid.steps.data import TrialData

__all__ = ["CLEARLY", "GIVEN", "check_reading", "mistaken_readings"]

CLEARLY = 0.02
"""Mean average precision by which another reading must win, and by three standard errors, to refuse the given one."""

GIVEN = "as given"
"""Name of the reading that the specification asks for."""

_PERSONS, _QUERIES_EACH, _GALLERY_EACH = 64, 2, 5
_LEAST_PERSONS = 5  # fewer have no standard error to speak of
_BATCH = 16
_RANGES = {
    "pixels from 0 to 255 (mean 0, std 1/255)": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    "pixels from 0 to 1 (mean 0, std 1)": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "ImageNet's mean and std": (MEAN, STD),
}

_Gate = Callable[[], AbstractContextManager[Any]]


def mistaken_readings(spec: TeacherSpec) -> dict[str, TeacherSpec]:
    """The other channel order and the other usual ranges, each alone, by a description for a message."""
    other = "RGB" if spec.channel_order == "BGR" else "BGR"
    readings = {f"channel_order {other}": replace(spec, channel_order=other)}
    for name, (mean, std) in _RANGES.items():
        if not np.allclose((mean, std), (spec.images.mean, spec.images.std), atol=1e-3):
            readings[name] = replace(spec, images=replace(spec.images, mean=mean, std=std))
    return readings


def check_reading(teacher: Teacher, data: TrialData, gate: _Gate) -> dict[str, float]:
    """Rank a few validation identities with the teacher, read as given and as often mistaken.

    Args:
        teacher: opened.
        data: of the trial; some of its validation samples are decoded at the teacher's size.
        gate: entered around every image that is decoded and every batch.

    Returns:
        Mean average precision, averaged over identities, by reading; that of the given one under `GIVEN`.

    Raises:
        ConfigError: another reading clearly wins; names it.
        DataError: an image is damaged.
    """
    query, gallery = _few(data)
    if len({sample.person_id for sample in query}) < _LEAST_PERSONS:
        return {}
    images = [
        decode_images(part, teacher.input_size, data.dataset.root, gate=gate).array
        for part in (query, gallery)
    ]
    precision = {GIVEN: _by_person(teacher, query, images[0], gallery, images[1], gate)}
    for name, spec in mistaken_readings(teacher.spec).items():
        other = replace(teacher, spec=spec)
        try:
            precision[name] = _by_person(other, query, images[0], gallery, images[1], gate)
        except ConfigError:  # no finite numbers: a network in fp16 overflows where it is fed too large ones
            precision[name] = np.zeros_like(precision[GIVEN])
    means = {name: float(values.mean()) for name, values in precision.items()}
    better = [name for name in precision if _clearly_above(precision[name], precision[GIVEN])]
    if better:
        best = max(better, key=means.__getitem__)
        raise ConfigError(
            f"teacher {teacher.name} finds persons better with {best} (mAP {means[best]:.3f}) than as its "
            f"specification says ({means[GIVEN]:.3f}); correct teacher_spec"
        )
    return means


def _by_person(
    teacher: Teacher,
    query: Sequence[Sample],
    query_images: NDArray[np.uint8],
    gallery: Sequence[Sample],
    gallery_images: NDArray[np.uint8],
    gate: _Gate,
) -> NDArray[np.float64]:
    """Mean average precision of each person's queries; images of one person are too alike to count singly."""
    sought = _features(teacher, query_images, gate)
    ids, cameras = ids_and_cameras(query)
    there = (_features(teacher, gallery_images, gate), *ids_and_cameras(gallery))
    return np.array(
        [
            rank(sought[own], ids[own], cameras[own], *there).mAP
            for own in (ids == one for one in np.unique(ids))
        ]
    )


def _clearly_above(values: NDArray[np.float64], given: NDArray[np.float64]) -> bool:
    gain = values - given
    return bool(gain.mean() > max(CLEARLY, 3 * gain.std(ddof=1) / len(gain) ** 0.5))


def _features(teacher: Teacher, images: NDArray[np.uint8], gate: _Gate) -> NDArray[np.float32]:
    rows = []
    for start in range(0, len(images), _BATCH):
        with gate():
            rows.append(teacher.embed(np.asarray(images[start : start + _BATCH])))
    return np.concatenate(rows)


def _few(data: TrialData) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Queries and gallery of some persons who can be found in another camera than that of the query."""
    query: list[Sample] = []
    gallery: list[Sample] = []
    persons = 0
    for person in sorted({sample.person_id for sample in data.query}):
        there = _spread([s for s in data.gallery if s.person_id == person], _GALLERY_EACH)
        cameras = {sample.camera_id for sample in there}
        own = [s for s in data.query if s.person_id == person and cameras - {s.camera_id}]
        if own and persons < _PERSONS:
            persons += 1
            query += _spread(own, _QUERIES_EACH)
            gallery += there
    return tuple(query), tuple(gallery)


def _spread(samples: Sequence[Sample], count: int) -> Sequence[Sample]:
    """At most `count` of the samples, evenly from all of them."""
    return samples[:: max(1, -(-len(samples) // count))]
