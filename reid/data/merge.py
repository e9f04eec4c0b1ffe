"""Several prepared datasets as one: learn from all, be tested on one of them."""

from collections.abc import Sequence
from itertools import combinations

from reid.data.dataset import ReIDDataset
from reid.data.layout import Listing, Placement
from reid.data.leaks import same_files
from reid.data.market1501 import FOLDERS, MULTI_QUERY
from reid.data.parallel import Progress
from reid.errors import ConfigError, DataError

__all__ = ["demand_apart", "merge_layout"]


def merge_layout(datasets: Sequence[ReIDDataset], evaluate_on: ReIDDataset) -> Listing:
    """Training images of all datasets, and the test images of one.

    That one keeps its names, so that its figures compare with those of the dataset alone. Identities and
    cameras of each other dataset are counted on from the highest before it; its test images are left out.

    Args:
        datasets: two or more, of different folders; `evaluate_on` is one of them.
        evaluate_on: gives query, gallery and multi-query.

    Raises:
        ConfigError: there are fewer than two, one is there twice, or `evaluate_on` is none of them.
    """
    roots = [dataset.root for dataset in datasets]
    if len(roots) < 2:
        raise ConfigError("merging takes two or more prepared datasets; name each with --from")
    if len(set(roots)) < len(roots):
        twice = next(root for root in roots if roots.count(root) > 1)
        raise ConfigError(f"{twice} is named twice; name each dataset once")
    if evaluate_on.root not in roots:
        raise ConfigError(f"{evaluate_on.root} is none of the datasets that are merged; name it with --from")
    kept = (
        (FOLDERS["train"], evaluate_on.train),
        (FOLDERS["query"], evaluate_on.query),
        (FOLDERS["gallery"], evaluate_on.gallery),
        (MULTI_QUERY, evaluate_on.multi_query),
    )
    placed = [Placement(one.path, folder, one.path.name) for folder, samples in kept for one in samples]
    everything = [one for _, samples in kept for one in samples]
    person = max(one.person_id for one in everything)
    camera = max(one.camera_id for one in everything)
    for dataset in datasets:
        if dataset.root == evaluate_on.root:
            continue
        placed += _shifted(dataset, person, camera)
        person += max(one.person_id for one in dataset.train)
        camera += max(one.camera_id for one in dataset.train)
    return Listing(placed)


def demand_apart(
    datasets: Sequence[ReIDDataset], *, workers: int | None = None, progress: Progress | None = None
) -> None:
    """Refuse datasets that share training images: the network would learn that one person is two.

    Args:
        datasets: that are to be merged.
        workers: threads, >= 1; None takes one per core.
        progress: called after every few files.

    Raises:
        DataError: two of them hold a training image with the same bytes.
    """
    for one, other in combinations(datasets, 2):
        twins = same_files(
            [sample.path for sample in one.train],
            [sample.path for sample in other.train],
            workers=workers,
            progress=progress,
        )
        if twins:
            raise DataError(
                f"{one.root} and {other.root} share training images ({len(twins)}, e.g. {twins[0][0].name} and "
                f"{twins[0][1].name}), and would be learnt as different persons; merge only one of the two"
            )


def _shifted(dataset: ReIDDataset, person: int, camera: int) -> list[Placement]:
    return [
        Placement(
            one.path,
            FOLDERS["train"],
            f"{one.person_id + person:04d}_c{one.camera_id + camera}_{one.path.name}",
            f"{dataset.root.name}/{one.path.relative_to(dataset.root).as_posix()}",
        )
        for one in dataset.train
    ]
