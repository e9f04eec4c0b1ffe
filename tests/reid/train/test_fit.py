"""The dense stage on generated pedestrians: what it evaluates, says and shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit

import numpy as np
import pytest

from reid.config import TrialConfig
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.errors import ConfigError, NotHere, ResourceError, TrainingDiverged
from reid.evaluate import evaluate
from reid.stages import NoCache
from reid.steps.data import load_data
from reid.steps.dense import train_dense
from reid.steps.workshop import CHECKPOINT, Workshop
from reid.train import EpochReport, Progress, embed

CONFIG = TrialConfig(
    backbone="osnet_x0_25", input_size=(64, 32), epochs=2, identities_per_batch=4, images_per_identity=2,
    validation_share=0.34, validate_every=1, keep="best", method="none",
)  # fmt: skip


class Notes:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.scores: list[float | None] = []

    def step(self, stage: str, progress: Progress) -> None:
        self.steps.append((stage, progress.epoch, progress.step))

    def epoch(self, stage: str, report: EpochReport) -> None:
        self.scores.append(report.val_mAP)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = SyntheticOptions(identities=12, test_identities=3, images_per_camera=2)
    return prepare_synthetic(options, tmp_path_factory.mktemp("data") / "people").root


def test_kept_network_has_the_best_score_that_was_reported(root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    notes, cache = Notes(), NoCache(tmp_path)
    work = Workshop(CONFIG, cache, said.append, notes)
    data = load_data(work, root)
    network = train_dense(work, data)
    scores = [row["val_mAP"] for row in work.curves]
    ranking = evaluate(
        lambda images: embed(network.model, images),
        data.query,
        data.query_images,
        data.gallery,
        data.gallery_images,
    )
    assert ranking.mAP == pytest.approx(max(scores))
    assert notes.scores == scores
    assert notes.steps[0] == ("dense", 0, 1)
    assert sum("validation mAP" in line for line in said) == 2
    again = Workshop(CONFIG, cache, said.append, notes)
    assert train_dense(again, data).key == network.key
    assert again.stages[-1].cached
    assert len(notes.scores) == 2


@pytest.mark.parametrize("sampler", ["random", "class-balanced"])
def test_a_batch_of_more_images_than_there_are_is_refused_with_the_data(
    sampler: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reid.steps.data.decode_images", lambda *_, **__: pytest.fail("images were decoded"))
    config = replace(CONFIG, sampler=sampler, batch_size=4096)
    with pytest.raises(
        ConfigError, match=r"batch_size is 4096, but .* has [0-9]+ training images after 0\.34"
    ):
        load_data(Workshop(config, NoCache(tmp_path), print), root)


def test_a_wrong_precision_is_refused_before_a_teacher_looks(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reid.steps.dense.training_device", lambda: "cpu")
    monkeypatch.setattr("reid.steps.dense.teach", lambda *_, **__: pytest.fail("a teacher looked"))
    config = replace(CONFIG, backbone="resnet18", precision="bf16", input_size=(64, 16))
    work = Workshop(config, NoCache(tmp_path), print)
    with pytest.raises(NotHere, match="precision bf16 gives wrong results"):
        train_dense(work, load_data(work, root))


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """Files cannot grow beyond a size."""
    soft, hard = getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_as_one(root: Path, tmp_path: Path) -> None:
    work = Workshop(CONFIG, NoCache(tmp_path), print)
    data = load_data(work, root)
    with (
        full_disk(100_000),
        pytest.raises(ResourceError, match=f"cannot write .*{CHECKPOINT}: File too large"),
    ):
        train_dense(work, data)


def test_epochs_outlive_a_disk_that_fills_after_the_last(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, cache = Notes(), NoCache(tmp_path)
    work = Workshop(CONFIG, cache, print, notes)
    data = load_data(work, root)

    def full(path: Path, content: bytes) -> Path:
        raise ResourceError(f"cannot write {path}: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("reid.steps.dense.write_atomic", full)
        with pytest.raises(ResourceError, match=r"model\.safetensors"):
            train_dense(work, data)
    seen = len(notes.steps)
    network = train_dense(work, data)
    assert len(notes.steps) == seen
    assert not (tmp_path / network.key / CHECKPOINT).exists()


def test_a_network_that_embeds_no_numbers_has_diverged(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Workshop(CONFIG, NoCache(tmp_path), print)
    data = load_data(work, root)
    monkeypatch.setattr("reid.steps.dense.embed", lambda model, images: np.full((len(images), 512), np.inf))
    with pytest.raises(TrainingDiverged, match="not finite; lower learning_rate"):
        train_dense(work, data)
