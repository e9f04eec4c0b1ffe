"""Training beside a teacher that sees every augmented batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from reid.errors import ConfigError
from reid.models import ReIDNetwork
from reid.train import EpochReport, Recipe, train
from tests.reid.train.people import IMAGES, LABELS, RECIPE, network, same_weights

DISTILLED = replace(RECIPE, loss="distill-embedding+distill-similarity", epochs=2)
BLENDED = replace(DISTILLED, mixup=0.5)
TAUGHT = np.random.default_rng(1).normal(size=(len(IMAGES), 5)).astype(np.float32)


def means_of(images: Tensor) -> Tensor:
    """Stands in for a teacher: 5 means of parts of each image."""
    return nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)[:, :5]


def taught(recipe: Recipe, **options: Any) -> tuple[ReIDNetwork, tuple[EpochReport, ...]]:
    """A network of the same start, trained beside `means_of`."""
    model = network()
    settings = {"teacher": TAUGHT, "live": means_of, **options}
    return model, train(model, IMAGES, LABELS, recipe, **settings)


def test_the_teacher_sees_what_the_student_sees() -> None:
    seen: list[Tensor] = []

    def live(images: Tensor) -> Tensor:
        seen.append(images.clone())
        return means_of(images)

    watched, _ = taught(DISTILLED, live=live)
    assert not same_weights(watched, taught(DISTILLED, live=None)[0])
    assert all(images.shape == (8, 3, 64, 32) for images in seen)
    # Erased pixels are 0, which no plain image holds: the teacher got what the student got.
    assert any(bool((images == 0).all(1).any()) for images in seen)
    assert same_weights(watched, taught(DISTILLED, teacher=np.roll(TAUGHT, 1, axis=0))[0])


def test_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def stop(report: EpochReport) -> None:
        raise KeyboardInterrupt

    whole, expected = taught(BLENDED)
    checkpoint = tmp_path / "epoch.ckpt"
    with pytest.raises(KeyboardInterrupt):
        taught(BLENDED, checkpoint=checkpoint, on_epoch=stop)
    resumed, found = taught(BLENDED, checkpoint=checkpoint)
    assert [report.loss for report in found] == [report.loss for report in expected]
    assert same_weights(whole, resumed)


def test_a_checkpoint_with_blends_is_not_gone_on_with_without(tmp_path: Path) -> None:
    taught(BLENDED, checkpoint=tmp_path / "epoch.ckpt")
    with pytest.raises(ConfigError, match=r"of another training \(mixup 0\.5 there, None here\)"):
        taught(DISTILLED, checkpoint=tmp_path / "epoch.ckpt")


def test_blends_have_no_identity_to_learn() -> None:
    with pytest.raises(ConfigError, match=r"mixup blends .*: leave out softmax, triplet or set mixup to 0"):
        replace(RECIPE, loss="softmax+triplet+distill-embedding", mixup=0.1)
