"""A teacher on the test split, and how fast the embeddings that it teaches with are computed.

    python -m benchmarks.teacher TEACHER --spec omz --data DATA [--training-images 1024] [--threads 1]

The figures on the test split tell whether channel order and range are right: compare them with those that the
teacher's authors give. Nothing is selected by them. Writes results/teacher-<device>.json.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.device import write_result
from reid.data import ReIDDataset, dataset_name, decode_images, load_dataset
from reid.files import sha256_of
from reid.runtime.teacher import Teacher, open_teacher, teacher_files
from reid.steps.score import metrics_of
from reid.steps.teach import both_ways, score_teacher
from search.options import parse_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--spec")
    parser.add_argument("--backbone")
    parser.add_argument(
        "--set", nargs="+", default=[], help="name=value of a state dict's network: last_stride=1"
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--training-images", type=int, default=1024, help="that are embedded and timed")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    dataset = load_dataset(dataset_name(options.data), options.data)
    teacher = open_teacher(
        options.teacher,
        spec=options.spec,
        backbone=options.backbone,
        options=parse_settings(options.set) or None,
        threads=options.threads,
    )
    teaching = time_teaching(teacher, dataset, options.training_images)
    started = time.perf_counter()
    ranking = score_teacher(teacher, dataset.root, dataset.query, dataset.gallery)
    figures: dict[str, Any] = {
        "teacher": options.teacher.name,
        "sha256": {path.name: sha256_of(path) for path in teacher_files(options.teacher)},
        "input_spec": teacher.spec.to_dict(),
        "threads": options.threads,
        "test": {name: round(value, 4) for name, value in metrics_of(ranking).items()},
        "protocol": ranking.protocol,
        "test_images": len(dataset.query) + len(dataset.gallery),
        "test_seconds": round(time.perf_counter() - started, 1),
        "teaching": teaching,
    }
    write_result("teacher", figures)


def time_teaching(teacher: Teacher, dataset: ReIDDataset, count: int) -> dict[str, Any]:
    """Images a second, the mirror image of each included, decoding not."""
    images = decode_images(dataset.train, teacher.input_size, dataset.root).array[:count]
    batch = 16
    both_ways(teacher, images[:batch])
    started = time.perf_counter()
    for start in range(0, len(images), batch):
        both_ways(teacher, images[start : start + batch])
    seconds = time.perf_counter() - started
    return {
        "images": len(images),
        "images_per_second": round(len(images) / seconds, 2),
        "training_images": len(dataset.train),
        "seconds_for_all": round(len(dataset.train) * seconds / len(images), 1),
    }


if __name__ == "__main__":
    main()
