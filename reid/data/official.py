"""Counts of the official releases, by which a complete download is told from another one.

Sources: Market-1501: Zheng et al., ICCV 2015, release v15.09.15. DukeMTMC-reID: Zheng et al., ICCV 2017.
MSMT17: Wei et al., CVPR 2018; V2 masks faces and keeps the counts. CUHK03-NP: Zhong et al., CVPR 2017.
"""

from dataclasses import dataclass

from reid.data.sample import DISTRACTOR, JUNK, Sample, Splits

__all__ = ["OFFICIAL", "Counts", "is_official"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a release holds.

    Attributes:
        train: training images.
        query: query images.
        gallery: gallery images, junk and distractors included.
        train_identities: persons in the training images.
        query_identities: persons in the query images.
        cameras: cameras of all images together.
    """

    train: int
    query: int
    gallery: int
    train_identities: int
    query_identities: int
    cameras: int


OFFICIAL: dict[str, tuple[Counts, ...]] = {
    "market1501": (
        Counts(
            train=12_936, query=3_368, gallery=19_732, train_identities=751, query_identities=750, cameras=6
        ),
    ),
    "dukemtmc": (
        Counts(
            train=16_522, query=2_228, gallery=17_661, train_identities=702, query_identities=702, cameras=8
        ),
    ),
    "msmt17": (
        Counts(
            train=32_621, query=11_659, gallery=82_161, train_identities=1_041, query_identities=3_060,
            cameras=15,
        ),
    ),
    "cuhk03": (
        # Detected boxes, then labelled ones.
        Counts(train=7_365, query=1_400, gallery=5_332, train_identities=767, query_identities=700, cameras=2),
        Counts(train=7_368, query=1_400, gallery=5_328, train_identities=767, query_identities=700, cameras=2),
    ),
}  # fmt: skip
"""Counts of each dataset that has an official release, one per variant."""


def is_official(name: str, splits: Splits) -> bool | None:
    """Whether the counts are those of a release; None for a dataset without one.

    Args:
        name: key in `reid.data.DATASETS`.
        splits: all images.
    """
    if name not in OFFICIAL:
        return None
    found = Counts(
        train=len(splits.train),
        query=len(splits.query),
        gallery=len(splits.gallery),
        train_identities=_people(splits.train),
        query_identities=_people(splits.query),
        cameras=len({one.camera_id for part in splits[:3] for one in part}),
    )
    return found in OFFICIAL[name]


def _people(samples: tuple[Sample, ...]) -> int:
    return len({sample.person_id for sample in samples} - {JUNK, DISTRACTOR})
