"""Images a second of the trainer, beside a bare training loop and beside torch's DataLoader with Pillow.

All three train the same network with the same optimizer, in bfloat16 and channels last; they take turns, so that
whatever else the machine does meets all of them. The bare loop repeats one batch that lies in memory, with
cross-entropy alone; the others augment and take the loss of the recipe. The loader decodes JPEGs in two workers.

python -m benchmarks.train_throughput [--data DATA]
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.device import write_result
from reid.data import MEAN, STD, Sample, dataset_name, decode_images, load_dataset
from reid.losses import LossContext, LossInput, build_loss
from reid.models import ReIDNetwork, build
from reid.torchvision_compat import torchvision
from reid.train import Recipe, train
from reid.train.allocator import keep_freed_memory
from reid.train.optimizer import build_optimizer
from reid.train.sampler import epoch_batches
from search.data_home import data_or_synthetic

BACKBONE, INPUT_SIZE, WORKERS = "resnet18", (128, 64), 2
Step = Callable[[], None]


def network(classes: int) -> ReIDNetwork:
    torch.manual_seed(0)
    return build(BACKBONE, classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def bare_step(recipe: Recipe, images: Tensor, labels: Tensor, classes: int) -> Step:
    """One step over the same batch again and again."""
    model = network(classes)
    optimizer = build_optimizer(model, nn.Identity(), recipe)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            output = model(images)
        optimizer.zero_grad()
        F.cross_entropy(output.logits.float(), labels).backward()
        optimizer.step()

    return step


class Pictures(Dataset[tuple[Tensor, int]]):
    """JPEG files through Pillow and torchvision, as the usual training script has them."""

    def __init__(self, paths: Sequence[Path], labels: NDArray[np.int64]) -> None:
        self.paths, self.labels = paths, labels
        transforms, (height, width) = torchvision.transforms, INPUT_SIZE
        self.transform = transforms.Compose(
            [
                transforms.Resize(INPUT_SIZE, transforms.InterpolationMode.BICUBIC),
                transforms.Pad((round(10 * width / 128), round(10 * height / 256))),
                transforms.RandomCrop(INPUT_SIZE),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
                transforms.RandomErasing(0.5, (0.02, 0.4), (0.3, 1 / 0.3)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[row]) as picture:
            return self.transform(picture.convert("RGB")), int(self.labels[row])


def loader_rate(paths: Sequence[Path], labels: NDArray[np.int64], recipe: Recipe) -> float:
    """Images a second of the loader and a step with the recipe's loss."""
    classes = int(labels.max()) + 1
    model = network(classes)
    context = LossContext(model=model, embedding_dim=model.embedding_dim, num_classes=classes)
    loss = build_loss(recipe.loss, context)
    optimizer = build_optimizer(model, loss, recipe)
    batches = [batch.tolist() for batch in epoch_batches(labels, recipe, 0)]
    loader = DataLoader(
        Pictures(paths, labels), batch_sampler=batches, num_workers=WORKERS, multiprocessing_context="spawn"
    )

    def steps() -> Iterator[None]:
        for images, targets in loader:
            with torch.autocast("cpu", torch.bfloat16):
                output = model(images.contiguous(memory_format=torch.channels_last))
            feature, embedding, logits = (part.float() for part in output)
            terms = loss(LossInput(feature=feature, embedding=embedding, logits=logits, labels=targets))
            optimizer.zero_grad()
            sum(terms.values()).backward()
            optimizer.step()
            yield

    return rate_of([time.perf_counter() for _ in steps()], len(batches[0]))


def trainer_rate(images: NDArray[np.uint8], labels: NDArray[np.int64], recipe: Recipe) -> float:
    """Images a second of `reid.train.train`, from the end of one step to the end of the next."""
    ends: list[float] = []
    train(
        network(int(labels.max()) + 1), images, labels, recipe,
        on_step=lambda progress: ends.append(time.perf_counter()),
    )  # fmt: skip
    return rate_of(ends, recipe.identities_per_batch * recipe.images_per_identity)


def bare_rate(step: Step, steps: int, batch: int) -> float:
    """Images a second of a step repeated."""
    return rate_of([time.perf_counter() for _ in range(steps) if step() is None], batch)


def rate_of(ends: Sequence[float], batch: int) -> float:
    """Images a second from the moments at which steps ended; the first two only warm up."""
    return batch / median(later - earlier for earlier, later in pairwise(ends[1:]))


def allocator_figures(rounds: int, steps: int, batch: int) -> dict[str, list[float]]:
    """Images a second of the bare loop in processes of their own, with glibc's malloc as it is and as we set it."""
    figures: dict[str, list[float]] = {"default": [], "kept": []}
    for _ in range(rounds):
        for name, rates in figures.items():
            command = [sys.executable, "-m", "benchmarks.train_throughput", "--malloc", name]
            command += ["--steps", str(steps), "--batch", str(batch)]
            rates.append(float(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)))
    return figures


def compare(data: Path, rounds: int, steps: int, batch: int) -> dict[str, Any]:
    dataset = load_dataset(dataset_name(data), data)
    recipe = Recipe(
        epochs=1, warmup_epochs=0, precision="bf16", identities_per_batch=batch // 4, images_per_identity=4
    )
    chosen = steps * batch
    samples: tuple[Sample, ...] = (dataset.train * (chosen // len(dataset.train) + 1))[:chosen]
    _, labels = np.unique([sample.person_id for sample in samples], return_inverse=True)
    images = decode_images(samples, INPUT_SIZE, dataset.root).array
    keep_freed_memory()
    resident = torch.randn(batch, 3, *INPUT_SIZE).contiguous(memory_format=torch.channels_last)
    classes = int(labels.max()) + 1
    step = bare_step(recipe, resident, torch.arange(batch) % classes, classes)
    rates: dict[str, list[float]] = {"bare": [], "trainer": [], "loader": []}
    paths = [dataset.root / sample.path for sample in samples]
    for _ in range(rounds):
        rates["bare"].append(bare_rate(step, steps, batch))
        rates["trainer"].append(trainer_rate(images, labels, recipe))
        rates["loader"].append(loader_rate(paths, labels, recipe))
    return {"rates": rates, "training_images": len(samples), "identities": classes}


def ratios(rates: dict[str, list[float]]) -> dict[str, float]:
    """Medians over the rounds, and of the ratios within each round."""
    figures = {f"{name}_images_per_second": median(values) for name, values in rates.items()}
    for other in ("bare", "loader"):
        pairs = zip(rates["trainer"], rates[other], strict=True)
        figures[f"trainer_over_{other}"] = median(one / two for one, two in pairs)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="prepared dataset; synthetic when left out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--malloc", choices=("default", "kept"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.malloc:
        if asked.malloc == "kept":
            keep_freed_memory()
        images = torch.randn(asked.batch, 3, *INPUT_SIZE).contiguous(memory_format=torch.channels_last)
        step = bare_step(Recipe(), images, torch.arange(asked.batch), asked.batch)
        print(json.dumps(bare_rate(step, asked.steps, asked.batch)))
        return
    found = compare(data_or_synthetic(asked.data, "synthetic"), asked.rounds, asked.steps, asked.batch)
    malloc = allocator_figures(asked.rounds, asked.steps, asked.batch)
    write_result(
        "train-throughput",
        {
            "network": f"{BACKBONE} {INPUT_SIZE[0]}x{INPUT_SIZE[1]}, bf16, channels last",
            "batch": asked.batch,
            "steps_per_round": asked.steps,
            "threads": torch.get_num_threads(),
            "loader_workers": WORKERS,
            **ratios(found["rates"]),
            "kept_over_default_malloc": median(
                kept / usual for kept, usual in zip(malloc["kept"], malloc["default"], strict=True)
            ),
            **found,
            "bare_images_per_second_by_malloc": malloc,
        },
    )


if __name__ == "__main__":
    main()
