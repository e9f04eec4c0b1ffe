"""One image of one person in one camera, and the splits that a dataset is made of."""

from pathlib import Path
from typing import NamedTuple

__all__ = ["DISTRACTOR", "JUNK", "Sample", "Splits"]

JUNK = -1
"""Identity of a box that is excluded from every ranking."""

DISTRACTOR = 0
"""Identity of a box that is never right: it stays in the ranking and counts as a wrong match."""


class Sample(NamedTuple):
    """One image.

    Attributes:
        path: absolute path of the image file.
        person_id: identity, > 0; `JUNK` (-1) or `DISTRACTOR` (0) in a gallery only.
        camera_id: number of the camera, as the file name gives it.
    """

    path: Path
    person_id: int
    camera_id: int


class Splits(NamedTuple):
    """Training, query and gallery images, each sorted by file name.

    Attributes:
        train: images of the training identities.
        query: images that are searched for, of the test identities.
        gallery: images that are searched in: test identities, junk and distractors.
        multi_query: more images of the query identities, to be pooled per identity and camera; often none.
    """

    train: tuple[Sample, ...]
    query: tuple[Sample, ...]
    gallery: tuple[Sample, ...]
    multi_query: tuple[Sample, ...] = ()
