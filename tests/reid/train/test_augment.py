"""Augmented batches, taken apart image by image."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from reid.data.normalize import MEAN, STD
from reid.torchvision_compat import torchvision
from reid.train import Recipe, normalise_batch
from reid.train.augment import augment
from reid.train.colour import jitter, turn_hue

PLAIN = Recipe()
HEIGHT, WIDTH, PAD = 64, 32, 2  # 10 pixels at 256 x 128 are 2.5 here, which rounds to 2


def batch(count: int, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Images whose pixels are never 0, so that padding shows."""
    generator = torch.Generator().manual_seed(5)
    return torch.randint(1, 256, (count, height, width, 3), generator=generator, dtype=torch.uint8)


def augmented(images: Tensor, seed: int = 0, settings: Recipe = PLAIN) -> tuple[Tensor, Tensor]:
    """Pixels as (B, H, W, 3) uint8 and the mask (B, H, W) of the erased ones."""
    result = augment(images, settings, torch.Generator().manual_seed(seed))
    erased = (result == 0).all(1)
    pixels = (result * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]) * 255
    return pixels.round().to(torch.uint8).permute(0, 2, 3, 1), erased


def windows(image: Tensor) -> dict[tuple[int, int, bool], Tensor]:
    padded = np.pad(image.numpy(), ((PAD, PAD), (PAD, PAD), (0, 0)))
    cut = {}
    for top in range(2 * PAD + 1):
        for left in range(2 * PAD + 1):
            window = padded[top : top + HEIGHT, left : left + WIDTH]
            cut[top, left, False] = torch.from_numpy(window.copy())
            cut[top, left, True] = torch.from_numpy(window[:, ::-1].copy())
    return cut


def test_every_image_is_a_window_of_its_own_padded_original() -> None:
    images = batch(120)
    pixels, erased = augmented(images)
    found = []
    for image, result, mask in zip(images, pixels, erased, strict=True):
        places = [at for at, w in windows(image).items() if torch.equal(w[~mask], result[~mask])]
        assert len(places) == 1
        found += places
    assert {top for top, _, _ in found} == {left for _, left, _ in found} == set(range(2 * PAD + 1))
    assert 40 <= sum(flipped for _, _, flipped in found) <= 80


def test_padding_is_ten_pixels_at_256_by_128() -> None:
    white = torch.full((200, 256, 128, 3), 255, dtype=torch.uint8)
    pixels, erased = augmented(white)
    black = (pixels == 0).all(3)[~erased.flatten(1).any(1)]
    assert int(black.all(2).sum(1).max()) == 10
    assert int(black.all(1).sum(1).max()) == 10


def test_erasing_is_one_rectangle_within_the_drawn_range_in_half_of_the_images() -> None:
    _, erased = augmented(batch(1000))
    hit = erased.flatten(1).any(1)
    assert 440 <= int(hit.sum()) <= 560
    shares, aspects = [], []
    for mask in erased[hit]:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        tall, wide = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert int(mask.sum()) == tall * wide
        shares.append(tall * wide / (HEIGHT * WIDTH))
        aspects.append(tall / wide)
    # Rounding to whole pixels widens both ranges a little.
    assert 0.015 < min(shares) < 0.05
    assert 0.35 < max(shares) < 0.42
    assert 0.27 < min(aspects) < 0.5
    assert 2.5 < max(aspects) < 3.8


def test_erased_rectangles_reach_every_border() -> None:
    _, erased = augmented(batch(2000))
    assert erased[:, 0].any()
    assert erased[:, -1].any()
    assert erased[:, :, 0].any()
    assert erased[:, :, -1].any()


def test_images_are_drawn_for_one_by_one() -> None:
    pixels, _ = augmented(batch(1).expand(8, -1, -1, -1))
    assert len({image.numpy().tobytes() for image in pixels}) == 8


def test_generator_decides_and_moves_on() -> None:
    images, generator = batch(4), torch.Generator().manual_seed(1)
    first, second = augment(images, PLAIN, generator), augment(images, PLAIN, generator)
    assert torch.equal(first, augment(images, PLAIN, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, second)


def test_input_is_left_alone_and_output_is_channels_last() -> None:
    images = batch(4)
    before = images.clone()
    result = augment(images, PLAIN, torch.Generator().manual_seed(1))
    assert torch.equal(images, before)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert (result.dtype, result.shape) == (torch.float32, (4, 3, HEIGHT, WIDTH))


@pytest.mark.parametrize("as_array", [True, False])
def test_normalisation_is_torchvisions(as_array: bool) -> None:
    images = batch(3)
    expected = torchvision.transforms.Normalize(MEAN, STD)(images.permute(0, 3, 1, 2).float() / 255)
    torch.testing.assert_close(normalise_batch(images.numpy() if as_array else images), expected)


OFF = {"flip": 0.0, "pad_crop": 0.0, "erasing": 0.0}


def test_everything_can_be_switched_off() -> None:
    images = batch(6)
    result = augment(images, Recipe(**OFF), torch.Generator().manual_seed(1))
    assert torch.equal(result, normalise_batch(images))


def test_probabilities_of_one_strike_every_image() -> None:
    images = batch(40)
    pixels, _ = augmented(images, settings=Recipe(**OFF | {"flip": 1.0}))
    assert torch.equal(pixels, images.flip(2))
    _, erased = augmented(images, settings=Recipe(**OFF | {"erasing": 1.0}))
    assert bool(erased.flatten(1).any(1).all())


def test_grey_rectangles_have_the_grey_of_pillow_and_the_rest_its_colours() -> None:
    images = batch(40)
    pixels, _ = augmented(images, settings=Recipe(**OFF | {"grayscale": 1.0}))
    shares = []
    for image, result in zip(images, pixels, strict=True):
        changed = (image != result).any(2)
        shares.append(float(changed.float().mean()))
        luma = torch.from_numpy(np.array(Image.fromarray(image.numpy()).convert("L"))).int()
        assert bool(((result[changed].int() - luma[changed][:, None]).abs() <= 1).all())
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        box = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert float(box.float().mean()) > 0.99  # a pixel that is grey already does not change
    assert 0.015 < min(shares) < max(shares) < 0.42
    assert len(set(shares)) > 20


def colours(count: int = 6) -> Tensor:
    return torch.rand(count, 16, 8, 3, generator=torch.Generator().manual_seed(2))


def test_jitter_is_torchvisions_with_a_factor_for_each_image() -> None:
    images, functional = colours(), torchvision.transforms.functional
    factors = 0.2 + 1.6 * torch.rand(3, len(images), generator=torch.Generator().manual_seed(3))
    found = jitter(images, *factors)
    for image, result, (b, c, s) in zip(images, found, factors.T.tolist(), strict=True):
        expected = functional.adjust_brightness(image.permute(2, 0, 1), b)
        expected = functional.adjust_saturation(functional.adjust_contrast(expected, c), s)
        torch.testing.assert_close(result.permute(2, 0, 1), expected, atol=1e-4, rtol=0)


def test_hue_is_torchvisions_with_a_turn_for_each_image() -> None:
    images, functional = colours(), torchvision.transforms.functional
    images[0, 0] = 0.5  # grey has no hue
    turns = torch.tensor([0.5, -0.5, 0.1, -0.1, 0.33, 0.0])
    found = turn_hue(images, turns)
    for image, result, turn in zip(images, found, turns.tolist(), strict=True):
        expected = functional.adjust_hue(image.permute(2, 0, 1), turn)
        torch.testing.assert_close(result.permute(2, 0, 1), expected, atol=2e-4, rtol=0)


def test_colours_change_image_by_image_within_their_reach() -> None:
    flat = torch.full((200, 8, 8, 3), 100, dtype=torch.uint8)
    pixels, _ = augmented(flat, settings=Recipe(**OFF | {"colour_jitter": 0.3}))
    levels = pixels[:, 0, 0, 0].int()
    assert 70 <= int(levels.min()) < 75
    assert 125 < int(levels.max()) <= 130
    red = torch.tensor([200, 20, 20], dtype=torch.uint8).expand(200, 8, 8, 3)
    pixels, _ = augmented(red, settings=Recipe(**OFF | {"hue": 0.1}))
    hues = [colorsys.rgb_to_hsv(*(pixel / 255).tolist())[0] for pixel in pixels[:, 0, 0].float()]
    turned = [(hue + 0.5) % 1 - 0.5 for hue in hues]
    assert -0.102 < min(turned) < -0.09
    assert 0.09 < max(turned) < 0.102


def test_blends_are_of_two_images_of_the_batch() -> None:
    images = batch(60)
    settings = Recipe(loss="distill-embedding", mixup=0.5, erasing=0.0)
    plain = augment(images, replace(settings, mixup=0.0), torch.Generator().manual_seed(3))
    mixed = augment(images, settings, torch.Generator().manual_seed(3))
    changed = [at for at in range(60) if not torch.equal(mixed[at], plain[at])]
    assert 18 <= len(changed) <= 42
    shares = []
    for at in changed:
        away = mixed[at] - plain[at]
        towards = plain - plain[at]
        fitted = (towards * away).sum((1, 2, 3)) / towards.square().sum((1, 2, 3)).clamp_min(1e-9)
        left = (away - fitted[:, None, None, None] * towards).abs().amax((1, 2, 3))
        assert left.min() < 1e-4
        shares.append(float(fitted[left.argmin()]))
    assert 0 < min(shares) < 0.25
    assert 0.75 < max(shares) <= 1
