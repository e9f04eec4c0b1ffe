"""Training as a whole: it learns, it goes on bit for bit where it stopped, and it says what went wrong."""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reid.errors import ConfigError, ResourceError, TrainingDiverged
from reid.models import TrainingOutput, build
from reid.train import EpochReport, embed, train
from tests.reid.train.people import IMAGES, LABELS, RECIPE, network, same_weights


def decay_first_filters(model: nn.Module, epoch: int) -> None:
    """Stands in for soft pruning; draws from torch's global generator too."""
    with torch.no_grad():
        model.get_parameter("conv1.conv.weight")[:4] *= 0.5 + 0.1 * epoch * torch.rand(1)


def separation(model: nn.Module) -> float:
    """Mean cosine of two views of one identity less that of two identities."""
    found = embed(model, IMAGES)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    cosine, same = found @ found.T, LABELS[:, None] == LABELS
    return float(cosine[same].mean() - cosine[~same].mean())


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_training_pulls_people_apart(precision: str) -> None:
    model = network("resnet18")
    before = separation(model)
    reports = train(model, IMAGES, LABELS, replace(RECIPE, epochs=6, precision=precision))
    assert separation(model) > before + 0.5
    assert reports[-1].loss < 0.6 * reports[0].loss
    assert [report.epoch for report in reports] == list(range(6))
    assert reports[-1].learning_rate == pytest.approx(1e-5)
    assert all(report.images_per_second > 0 for report in reports)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stop_after", [0, 1])
def test_interrupted_training_goes_on_bit_for_bit(precision: str, stop_after: int, tmp_path: Path) -> None:
    recipe = replace(RECIPE, precision=precision)
    whole = network()
    expected = train(whole, IMAGES, LABELS, recipe, after_epoch=decay_first_filters)

    def stop(report: EpochReport) -> None:
        if report.epoch == stop_after:
            raise KeyboardInterrupt

    checkpoint, broken = tmp_path / "epoch.ckpt", network()
    with pytest.raises(KeyboardInterrupt):
        train(
            broken,
            IMAGES,
            LABELS,
            recipe,
            after_epoch=decay_first_filters,
            checkpoint=checkpoint,
            on_epoch=stop,
        )
    assert not same_weights(broken, whole)
    resumed, seen = network(), []
    torch.rand(3)  # whatever else the process drew must not matter
    reports = train(
        resumed,
        IMAGES,
        LABELS,
        recipe,
        after_epoch=decay_first_filters,
        checkpoint=checkpoint,
        on_epoch=lambda report: seen.append(report.epoch),
    )
    assert same_weights(resumed, whole)
    assert [report.loss for report in reports] == [report.loss for report in expected]
    assert seen == list(range(stop_after + 1, 3))


def test_stop_in_the_middle_of_an_epoch_repeats_that_epoch(tmp_path: Path) -> None:
    whole, checkpoint = network(), tmp_path / "epoch.ckpt"
    train(whole, IMAGES, LABELS, RECIPE)
    steps = iter(range(5))

    @contextmanager
    def failing() -> Iterator[None]:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        train(network(), IMAGES, LABELS, RECIPE, checkpoint=checkpoint, gate=failing)
    resumed = network()
    train(resumed, IMAGES, LABELS, RECIPE, checkpoint=checkpoint)
    assert same_weights(resumed, whole)


def test_finished_training_is_read_back_without_a_step(tmp_path: Path) -> None:
    checkpoint, model, again = tmp_path / "epoch.ckpt", network(), network()
    reports = train(model, IMAGES, LABELS, RECIPE, checkpoint=checkpoint)

    def never() -> None:
        raise AssertionError("a step was made")

    assert train(again, IMAGES, LABELS, RECIPE, checkpoint=checkpoint, gate=never) == reports
    assert same_weights(again, model)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch.ckpt"]


def test_same_seed_same_network_other_seed_another() -> None:
    one, two, other = network(), network(), network()
    train(one, IMAGES, LABELS, RECIPE)
    train(two, IMAGES, LABELS, RECIPE)
    train(other, IMAGES, LABELS, replace(RECIPE, seed=8))
    assert same_weights(one, two)
    assert not same_weights(one, other)


def test_checkpoint_of_another_recipe_says_what_differs(tmp_path: Path) -> None:
    checkpoint = tmp_path / "epoch.ckpt"
    train(network(), IMAGES, LABELS, replace(RECIPE, epochs=1), checkpoint=checkpoint)
    with pytest.raises(ConfigError, match="epochs 1 there, 3 here") as caught:
        train(network(), IMAGES, LABELS, RECIPE, checkpoint=checkpoint)
    assert str(checkpoint) in str(caught.value)


@pytest.mark.parametrize("content", [{"format": -1}, {"model": 1}, [1]])
def test_checkpoint_of_another_version_is_left_aside_with_a_warning(
    content: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, recipe = tmp_path / "epoch.ckpt", replace(RECIPE, epochs=1)
    torch.save(content, checkpoint)
    anew, fresh = network(), network()
    train(anew, IMAGES, LABELS, recipe, checkpoint=checkpoint)
    train(fresh, IMAGES, LABELS, recipe)
    assert "of another version" in caplog.text
    assert same_weights(anew, fresh)


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    checkpoint, wider = tmp_path / "epoch.ckpt", build("osnet_x0_25", 9)
    recipe = replace(RECIPE, epochs=1)
    train(network(), IMAGES, LABELS, recipe, checkpoint=checkpoint)
    with pytest.raises(ConfigError, match="of another OSNet; remove it"):
        train(wider, IMAGES, LABELS, recipe, checkpoint=checkpoint)


@pytest.mark.parametrize("keep", [0, 0.5])
def test_torn_checkpoint_is_left_aside_with_a_warning(
    keep: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, whole, resumed = tmp_path / "epoch.ckpt", network(), network()
    recipe = replace(RECIPE, epochs=2)
    train(whole, IMAGES, LABELS, recipe, checkpoint=checkpoint)
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(keep * len(content))])
    with caplog.at_level(logging.WARNING):
        train(resumed, IMAGES, LABELS, recipe, checkpoint=checkpoint)
    assert "cannot be read" in caplog.text
    assert same_weights(resumed, whole)


@pytest.mark.parametrize(
    ("error", "told_as"),
    [
        (MemoryError(), MemoryError),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), RuntimeError),
        (OSError(116, "Stale file handle"), ResourceError),
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["torch.load", "torch.optim.Adam.load_state_dict"])
def test_a_checkpoint_that_cannot_be_read_now_is_kept(
    error: Exception, told_as: type[Exception], where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What passes is told as itself: the epochs are still there for the next attempt."""
    checkpoint = tmp_path / "epoch.ckpt"
    train(network(), IMAGES, LABELS, replace(RECIPE, epochs=1), checkpoint=checkpoint)
    before = checkpoint.read_bytes()

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(where, fails)
    with pytest.raises(told_as if where == "torch.load" else type(error)):
        train(network(), IMAGES, LABELS, replace(RECIPE, epochs=1), checkpoint=checkpoint)
    assert checkpoint.read_bytes() == before


def test_gate_is_entered_once_per_step_and_waiting_is_not_work() -> None:
    inside, entered = [], []

    @contextmanager
    def gate() -> Iterator[None]:
        assert not inside, "entered while held"
        time.sleep(0.05)
        entered.append(1)
        inside.append(1)
        yield
        inside.pop()

    def outside(_: object, __: object = None) -> None:
        assert not inside

    recipe = replace(RECIPE, epochs=2)
    reports = train(
        network(), IMAGES, LABELS, recipe, gate=gate, after_epoch=outside, on_epoch=outside
    )  # 24 images in batches of 8
    assert len(entered) == 2 * 3
    for report in reports:
        assert report.seconds - 24 / report.images_per_second >= 0.15


class Poisoned(nn.Module):
    """Trains as OSNet does until its third step."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.network, self.value, self.steps = network(), value, 0
        self.embedding_dim = self.network.embedding_dim

    def forward(self, images: Tensor) -> TrainingOutput:
        output = self.network(images)
        self.steps += 1
        return output._replace(feature=output.feature * self.value) if self.steps == 5 else output


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("loss", ["triplet", "triplet+softmax"])
def test_loss_without_a_number_names_epoch_and_step(value: float, loss: str) -> None:
    with pytest.raises(TrainingDiverged, match="in epoch 2 of 3, step 2 of 3; lower learning_rate"):
        train(Poisoned(value), IMAGES, LABELS, replace(RECIPE, loss=loss))


class Hungry(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.weight, self.error, self.embedding_dim = nn.Parameter(torch.zeros(1)), error, 1

    def forward(self, images: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_lack_of_memory_is_a_resource_error(error: Exception) -> None:
    with pytest.raises(ResourceError, match="training on 8 images in epoch 1 of 3, step 1 of 3"):
        train(Hungry(error), IMAGES, LABELS, RECIPE)
    with pytest.raises(ResourceError, match="embedding 64 images at a time"):
        embed(Hungry(error), IMAGES)


def test_a_real_failed_allocation_is_a_resource_error() -> None:
    class Huge(Hungry):
        def forward(self, images: Tensor) -> Tensor:
            return torch.empty(1 << 60)

    with pytest.raises(ResourceError, match="out of memory while embedding"):
        embed(Huge(MemoryError()), IMAGES)


def test_other_failures_pass_through() -> None:
    with pytest.raises(RuntimeError, match="something else"):
        train(Hungry(RuntimeError("something else")), IMAGES, LABELS, RECIPE)


def test_too_few_identities_names_both_numbers() -> None:
    recipe = replace(RECIPE, identities_per_batch=16)
    with pytest.raises(ConfigError, match="identities_per_batch is 16, but only 6 identities"):
        train(network(), IMAGES, LABELS, recipe)


@pytest.mark.parametrize("images", [IMAGES[:0], IMAGES.astype(np.float32), IMAGES[0], IMAGES[..., :1]])
def test_images_of_another_kind_are_refused(images: NDArray[np.uint8]) -> None:
    with pytest.raises(ConfigError, match=r"images must be \(N, H, W, 3\) uint8"):
        train(network(), images, LABELS[: len(images)], RECIPE)
    with pytest.raises(ConfigError, match=r"images must be \(N, H, W, 3\) uint8"):
        embed(network(), images)


def test_labels_must_match_the_images() -> None:
    with pytest.raises(ConfigError, match=r"one per image, got \(23,\) for 24 images"):
        train(network(), IMAGES, LABELS[:-1], RECIPE)


@pytest.mark.parametrize("name", ["resnet18", "osnet_x0_25"])
def test_training_leaves_mode_layout_and_global_generator(name: str) -> None:
    model = network(name).eval()
    torch.manual_seed(3)
    train(model, IMAGES, LABELS, replace(RECIPE, epochs=1))
    drawn = torch.rand(4)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(4))
    assert not model.training
    assert all(parameter.is_contiguous() for parameter in model.parameters())


def test_neck_keeps_its_zero_shift() -> None:
    model = network("resnet18")
    before = model.bottleneck.weight.clone()
    train(model, IMAGES, LABELS, replace(RECIPE, epochs=1))
    assert not model.bottleneck.bias.any()
    assert not torch.equal(model.bottleneck.weight, before)


def test_no_epochs_change_nothing(tmp_path: Path) -> None:
    model, before = network(), network()
    assert train(model, IMAGES, LABELS, replace(RECIPE, epochs=0), checkpoint=tmp_path / "c") == ()
    assert same_weights(model, before)
    assert not list(tmp_path.iterdir())


def test_read_only_memory_map_is_trained_on(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    mapped, plain, model = np.load(tmp_path / "images.npy", mmap_mode="r"), network(), network()
    train(plain, IMAGES, LABELS, replace(RECIPE, epochs=1))
    train(model, mapped, LABELS, replace(RECIPE, epochs=1))
    assert same_weights(model, plain)
    assert np.array_equal(embed(model, mapped), embed(plain, IMAGES))


def test_embeddings_are_those_of_single_images_in_eval_mode() -> None:
    model, entered = network().train(), []

    @contextmanager
    def gate() -> Iterator[None]:
        entered.append(1)
        yield

    found = embed(model, IMAGES, batch=10, gate=gate)
    assert model.training
    assert (found.shape, found.dtype, len(entered)) == ((24, 512), np.float32, 3)
    one_by_one = np.concatenate([embed(model, IMAGES[i : i + 1]) for i in range(24)])
    np.testing.assert_allclose(found, one_by_one, atol=1e-5)
