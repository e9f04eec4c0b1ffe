"""What early stopping hears of a trial: evaluated epochs of finetuning, the last one left out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.train import EpochReport, Progress
from search.contact import Contact
from search.jobs import Job
from search.reporter import Reporter

HEARD = list[tuple[int, Mapping[str, float], dict[str, Any]]]


def reporter(tmp_path: Path, heard: HEARD) -> Reporter:
    job = Job(number=0, attempt=1, function="x:y", work=tmp_path)
    contact = Contact(job, report=lambda epoch, figures, so_far: heard.append((epoch, figures, so_far)))
    return Reporter(contact)


def run_epoch(watcher: Reporter, stage: str, epoch: int, epochs: int, val_map: float | None) -> None:
    watcher.step(
        stage, Progress(epoch=epoch, epochs=epochs, step=1, steps=1, loss=1.0, images_per_second=1.0)
    )
    watcher.epoch(
        stage,
        EpochReport(
            epoch=epoch, loss=1.0, images_per_second=1.0, seconds=2.0, learning_rate=0.1, val_mAP=val_map
        ),
    )


def test_evaluated_epochs_of_finetuning_are_reported(tmp_path: Path) -> None:
    heard: HEARD = []
    watcher = reporter(tmp_path, heard)
    watcher.early({"latency_ms": 1.5, "size_bytes": 10.0}, trusted=True)
    run_epoch(watcher, "prune", 0, 1, 0.2)
    for epoch, val_map in enumerate((None, 0.4, 0.5)):
        run_epoch(watcher, "finetune", epoch, 3, val_map)
    assert [(epoch, figures["mAP"]) for epoch, figures, _ in heard] == [(2, 0.4)]
    so_far = heard[0][2]
    assert so_far["status"] == "stopped"
    assert so_far["metrics"] == {"latency_ms": 1.5, "size_bytes": 10.0, "mAP": 0.4}
    assert so_far["latency_trusted"]
    assert [(stage["name"], stage["seconds"]) for stage in so_far["stages"]] == [
        ("prune", 2.0),
        ("finetune", 4.0),
    ]
    assert [row["stage"] for row in so_far["curves"]] == ["prune", "finetune", "finetune"]


def test_nothing_is_compared_before_the_latency_is_known(tmp_path: Path) -> None:
    heard: HEARD = []
    run_epoch(reporter(tmp_path, heard), "finetune", 0, 3, 0.4)
    assert not heard
