"""Variants drawn apart from the images: what is taken, scaled and drawn once for all."""

import hashlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from reid.data.normalize import MEAN, STD
from reid.errors import ConfigError
from reid.models import TrainingOutput
from reid.train import EpochReport, Recipe, train
from reid.train.augment import augment, vary, vary_pixels
from reid.train.variants import DRAWING, REFERENCE, Variants, drawn_variants
from tests.reid.train.people import IMAGES, LABELS, RECIPE, network, same_weights

ALL = Recipe(colour_jitter=0.3, hue=0.1, grayscale=0.5)
SIZE = (64, 32)


def drawn(count: int, size: tuple[int, int] = SIZE, settings: Recipe = ALL, seed: int = 1) -> Variants:
    return Variants.draw(count, size, settings, torch.Generator().manual_seed(seed))


def parts(variants: Variants) -> dict[str, Tensor]:
    found = {field.name: getattr(variants, field.name) for field in fields(variants)}
    return {name: part for name, part in found.items() if part is not None}


def pictures(count: int, size: tuple[int, int] = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(1, 256, (count, *size, 3), generator=generator, dtype=torch.uint8)


def test_what_the_settings_leave_alone_is_not_drawn() -> None:
    assert set(parts(drawn(3))) == {"corner", "flipped", "factors", "turns", "grey", "erased"}
    assert set(parts(drawn(3, settings=Recipe(erasing=0)))) == {"corner", "flipped"}


def test_a_batch_augmented_is_a_batch_varied_as_drawn() -> None:
    images = pictures(20)
    assert torch.equal(augment(images, ALL, torch.Generator().manual_seed(1)), vary(images, drawn(20), ALL))


def test_each_image_is_varied_by_itself() -> None:
    images, variants = pictures(12), drawn(12)
    rows = torch.tensor([7, 0, 7, 11])
    taken = vary(images[rows], variants.take(rows), ALL)
    torch.testing.assert_close(taken, vary(images, variants, ALL)[rows], rtol=0, atol=1e-6)


def test_pixels_are_those_of_the_normalised_variant() -> None:
    images, variants = pictures(30), drawn(30)
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    expected = ((vary(images, variants, ALL) * std + mean) * 255).permute(0, 2, 3, 1)
    found = vary_pixels(images, variants, ALL)
    assert found.dtype == torch.uint8
    assert float((found.float() - expected).abs().max()) <= 0.51


def test_at_twice_the_size_windows_and_rectangles_are_twice_as_large() -> None:
    settings = replace(ALL, pad_crop=16.0, colour_jitter=0.0, hue=0.0, grayscale=0.0)
    variants = drawn(40, settings=settings)
    small = pictures(40)
    large = small.repeat_interleave(2, 1).repeat_interleave(2, 2)
    doubled = variants.scaled(SIZE, (128, 64), settings)
    expected = vary_pixels(small, variants, settings).repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(vary_pixels(large, doubled, settings), expected)


@given(height=st.integers(16, 400), width=st.integers(16, 200), pad=st.floats(0, 64), seed=st.integers(0, 99))
def test_scaled_to_any_size_they_stay_inside(height: int, width: int, pad: float, seed: int) -> None:
    settings = replace(ALL, pad_crop=pad)
    variants = drawn(20, REFERENCE, settings, seed).scaled(REFERENCE, (height, width), settings)
    images = torch.full((20, height, width, 3), 255, dtype=torch.uint8)
    assert vary_pixels(images, variants, settings).shape == images.shape  # a window outside would be an error
    assert variants.erased is not None
    top, left, tall, wide = variants.erased.unbind(1)
    assert bool(((top >= 0) & (left >= 0) & (tall >= 0) & (wide >= 0)).all())
    assert bool(((top + tall <= height) & (left + wide <= width)).all())


def test_nothing_is_shifted_where_only_the_larger_size_is_padded() -> None:
    settings = replace(ALL, pad_crop=0.4)
    scaled = drawn(5, REFERENCE, settings).scaled(REFERENCE, (1024, 512), settings)
    assert bool((scaled.corner == 2).all())


def test_the_drawing_is_pinned() -> None:
    """A teacher's embeddings that were kept belong to this drawing: where it changes, change `DRAWING` too."""
    settings = replace(ALL, seed=3)
    drawing = b"".join(
        part.double().numpy().tobytes() for part in parts(drawn_variants(5, 3, REFERENCE, settings)).values()
    )
    assert (DRAWING, hashlib.sha256(drawing).hexdigest()[:16]) == (1, "1f3a315cf25220c8")


def test_drawn_once_for_all_by_settings_and_seed() -> None:
    first = parts(drawn_variants(6, 4, SIZE, ALL))
    assert all(len(part) == 24 for part in first.values())
    assert not first["flipped"].any()
    for other, same in ((replace(ALL, flip=0.0, epochs=3), True), (replace(ALL, seed=1), False)):
        again = parts(drawn_variants(6, 4, SIZE, other))
        assert all(torch.equal(part, again[name]) for name, part in first.items()) is same
    corners = {tuple(corner) for corner in first["corner"].tolist()}
    assert len(corners) > 8


class _Mirror(nn.Module):
    """Embeds an image and its mirror image alike, by its pixels: what stands in for the teacher is its own student."""

    embedding_dim = 16

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(16, int(LABELS.max()) + 1)

    def forward(self, images: Tensor) -> TrainingOutput:
        rows = nn.functional.adaptive_avg_pool2d(images + images.flip(3), 4)[:, 0].flatten(1)
        rows = rows + 0 * self.classifier.weight.sum()
        return TrainingOutput(rows, rows, self.classifier(rows))


@pytest.mark.parametrize("drawing", ["same", "other"])
def test_the_student_sees_the_views_that_the_teacher_embedded(drawing: str) -> None:
    recipe = replace(RECIPE, loss="distill-cosine", colour_jitter=0.3, erasing=1.0, precision="fp32")
    views = 3
    drawn_with = recipe if drawing == "same" else replace(recipe, seed=recipe.seed + 1)
    variants = drawn_variants(len(IMAGES), views, (IMAGES.shape[1], IMAGES.shape[2]), drawn_with)
    repeated = torch.from_numpy(np.repeat(IMAGES, views, axis=0))
    teacher = _Mirror()(vary(repeated, variants, recipe)).embedding.detach().numpy()
    reports = train(_Mirror(), IMAGES, LABELS, recipe, teacher=teacher.reshape(len(IMAGES), views, -1))  # type: ignore[arg-type]
    if drawing == "same":
        assert max(report.loss for report in reports) < 1e-5
    else:
        assert min(report.loss for report in reports) > 1e-2


VIEWS = np.random.default_rng(1).normal(size=(len(IMAGES), 3, 5)).astype(np.float32)


@pytest.mark.parametrize("sampler", ["pk", "random", "class-balanced"])
def test_a_training_by_drawn_views_goes_on_bit_for_bit(sampler: str, tmp_path: Path) -> None:
    recipe = replace(
        RECIPE, loss="softmax+distill-embedding+distill-logit", epochs=2, ema_decay=0.7, ema_start=0.4,
        sampler=sampler, batch_size=8,
    )  # fmt: skip

    def stop(report: EpochReport) -> None:
        raise KeyboardInterrupt

    whole, resumed, checkpoint = network(), network(), tmp_path / "epoch.ckpt"
    train(whole, IMAGES, LABELS, recipe, teacher=VIEWS)
    with pytest.raises(KeyboardInterrupt):
        train(network(), IMAGES, LABELS, recipe, teacher=VIEWS, checkpoint=checkpoint, on_epoch=stop)
    train(resumed, IMAGES, LABELS, recipe, teacher=VIEWS, checkpoint=checkpoint)
    assert same_weights(whole, resumed)


def test_a_teacher_of_drawn_views_knows_no_other_images() -> None:
    recipe = replace(RECIPE, loss="distill-embedding")
    for changed, live in ((replace(recipe, mixup=0.5), None), (recipe, lambda images: images)):
        with pytest.raises(ConfigError, match="leave out live and mixup"):
            train(network(), IMAGES, LABELS, changed, teacher=VIEWS, live=live)
