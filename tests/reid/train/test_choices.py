"""What a recipe may choose about a training as a whole: averaging, stopping, keeping, clipping, precision."""

import math
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reid.errors import ConfigError, NotHere, TrainingDiverged
from reid.models import ReIDNetwork
from reid.train import EpochReport, Progress, Recipe, train
from reid.train.curves import CurveWriter
from reid.train.loop import is_over
from tests.reid.train.people import IMAGES, LABELS, RECIPE, network, same_weights

EVERYTHING = replace(
    RECIPE, epochs=3, optimizer="sgd", learning_rate=0.02, backbone_rate=0.5, clip_norm=1.0, ema_decay=0.7,
    ema_start=0.4, colour_jitter=0.2, hue=0.1, grayscale=0.5, validate_every=1, keep="best",
    sampler="class-balanced", batch_size=8, loss="softmax + 0.5*triplet",
)  # fmt: skip


def scripted(scores: list[float]) -> Callable[[nn.Module], float]:
    """A validation that gives one score after the other."""
    left = iter(scores)
    return lambda model: next(left)


def by_weights(model: nn.Module) -> float:
    """A validation that depends on the network alone: the less it weighs, the better."""
    return 1 / (1 + float(sum(value.double().abs().sum() for value in model.state_dict().values())))


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_resuming_with_everything_on_is_exact(stop_after: int, tmp_path: Path) -> None:
    whole, broken, resumed = network(), network(), network()
    expected = train(whole, IMAGES, LABELS, EVERYTHING, validate=by_weights)
    assert all(report.val_mAP is not None for report in expected)

    def stop(report: EpochReport) -> None:
        if report.epoch == stop_after:
            raise KeyboardInterrupt

    path = tmp_path / "epoch.ckpt"
    with pytest.raises(KeyboardInterrupt):
        train(broken, IMAGES, LABELS, EVERYTHING, checkpoint=path, on_epoch=stop, validate=by_weights)
    reports = train(resumed, IMAGES, LABELS, EVERYTHING, checkpoint=path, validate=by_weights)
    assert same_weights(resumed, whole)
    assert [(r.loss, r.val_mAP, r.terms) for r in reports] == [(r.loss, r.val_mAP, r.terms) for r in expected]


def test_averaged_weights_are_the_average_of_those_after_each_step() -> None:
    recipe = replace(RECIPE, epochs=2, ema_decay=0.6, ema_start=0.5)
    model, seen = network(), []
    plain = network()
    train(plain, IMAGES, LABELS, replace(recipe, ema_decay=0.0))

    def look(progress: Progress) -> None:
        if progress.epoch == 1:
            seen.append(model.conv1.conv.weight.detach().clone())

    train(model, IMAGES, LABELS, recipe, on_step=look)
    assert torch.equal(seen[-1], plain.conv1.conv.weight)
    average = seen[0]
    for weight in seen[1:]:
        average = 0.6 * average + 0.4 * weight
    torch.testing.assert_close(model.conv1.conv.weight, average, rtol=1e-5, atol=1e-7)


def test_best_epoch_is_kept_and_the_last_one_otherwise() -> None:
    kept = {}
    for keep, scores in (("best", [0.2, 0.9, 0.3]), ("last", [0.2, 0.9, 0.3])):
        model, after = network(), []

        def look(model: nn.Module, epoch: int, after: list[torch.Tensor] = after) -> None:
            after.append(model.conv1.conv.weight.detach().clone())

        recipe = replace(RECIPE, validate_every=1, keep=keep)
        train(model, IMAGES, LABELS, recipe, after_epoch=look, validate=scripted(scores))
        kept[keep] = [torch.equal(model.conv1.conv.weight, weight) for weight in after]
    assert kept == {"best": [False, True, False], "last": [False, False, True]}


def test_patience_stops_and_a_resumed_training_knows_it(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=9, validate_every=1, patience=2, keep="best")
    model, again, path = network(), network(), tmp_path / "epoch.ckpt"
    reports = train(
        model, IMAGES, LABELS, recipe, checkpoint=path, validate=scripted([0.1, 0.5, 0.4, 0.5, 1.0])
    )
    assert [report.val_mAP for report in reports] == [0.1, 0.5, 0.4, 0.5]
    assert train(again, IMAGES, LABELS, recipe, checkpoint=path, validate=scripted([])) == reports
    assert same_weights(again, model)


def test_evaluations_come_every_so_often_and_after_the_last_epoch() -> None:
    recipe = replace(RECIPE, epochs=5, validate_every=2)
    reports = train(network(), IMAGES, LABELS, recipe, validate=scripted([0.1, 0.2, 0.3]))
    assert [report.val_mAP for report in reports] == [None, 0.1, None, 0.2, 0.3]


def test_evaluating_without_images_to_do_it_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="validate_every is set, but there are no validation images"):
        train(network(), IMAGES, LABELS, replace(RECIPE, validate_every=1))


@pytest.mark.parametrize(
    ("scores", "over"), [([], False), ([0.5], False), ([0.5, 0.4], False), ([0.5, 0.4, 0.5], True)]
)
def test_patience_counts_evaluations_since_the_best(scores: list[float], over: bool) -> None:
    reports = tuple(
        EpochReport(epoch=e, loss=1.0, images_per_second=1.0, seconds=1.0, learning_rate=1.0, val_mAP=score)
        for e, score in enumerate(scores)
    )
    assert is_over(Recipe(epochs=9, validate_every=1, patience=2), reports) is over


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_clipping_bounds_the_step() -> None:
    """Plain gradient descent moves the weights by rate times clip_norm at most, momentum included ten times that."""
    recipe = replace(
        RECIPE, epochs=1, optimizer="sgd", weight_decay=0.0, schedule="constant", warmup_epochs=0,
        learning_rate=0.1,
    )  # fmt: skip
    moved = {}
    for clip in (0.0, 1e-3):
        model, places = network(), []
        start = flat(model)

        def look(progress: Progress, model: nn.Module = model, places: list[torch.Tensor] = places) -> None:
            places.append(flat(model))

        train(model, IMAGES, LABELS, replace(recipe, clip_norm=clip), on_step=look)
        moved[clip] = float((places[0] - start).norm())
    # Nesterov's first step is (1 + momentum) times the gradient.
    assert moved[1e-3] == pytest.approx(0.1 * 1.9 * 1e-3, rel=1e-2)
    assert moved[0.0] > 10 * moved[1e-3]


def test_a_rate_of_zero_freezes_the_backbone() -> None:
    model, before = network(), network()
    train(model, IMAGES, LABELS, replace(RECIPE, epochs=1, backbone_rate=0.0))
    assert torch.equal(model.conv1.conv.weight, before.conv1.conv.weight)
    assert not torch.equal(model.fc[0].weight, before.fc[0].weight)


def test_float16_learns_and_resumes(tmp_path: Path) -> None:
    recipe = replace(RECIPE, precision="fp16", epochs=4)
    one, two, checkpoint = network(), network(), tmp_path / "epoch.ckpt"
    reports = train(one, IMAGES, LABELS, recipe)

    def stop(report: EpochReport) -> None:
        if report.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(network(), IMAGES, LABELS, recipe, checkpoint=checkpoint, on_epoch=stop)
    train(two, IMAGES, LABELS, recipe, checkpoint=checkpoint)
    assert reports[-1].loss < reports[0].loss
    assert same_weights(one, two)


def test_a_teacher_shapes_the_embeddings() -> None:
    teacher = np.eye(6, dtype=np.float32)[LABELS]
    recipe = replace(RECIPE, loss="distill-similarity")
    reports = train(network("resnet18"), IMAGES, LABELS, recipe, teacher=teacher)
    assert reports[-1].loss < 0.5 * reports[0].loss


def test_a_teacher_of_other_images_is_refused() -> None:
    with pytest.raises(ConfigError, match="teacher must embed each image once, got 5 rows for 24 images"):
        train(network(), IMAGES, LABELS, RECIPE, teacher=np.zeros((5, 3), np.float32))


def test_what_a_loss_learns_is_resumed_too(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=2, loss="arcface")
    whole, broken, resumed = network(), network(), network()
    expected = train(whole, IMAGES, LABELS, recipe)

    def stop(report: EpochReport) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "epoch.ckpt"
    with pytest.raises(KeyboardInterrupt):
        train(broken, IMAGES, LABELS, recipe, checkpoint=path, on_epoch=stop)
    reports = train(resumed, IMAGES, LABELS, recipe, checkpoint=path)
    assert [report.loss for report in reports] == [report.loss for report in expected]
    assert same_weights(resumed, whole)


def test_terms_add_up_to_the_loss() -> None:
    for report in train(network(), IMAGES, LABELS, replace(RECIPE, epochs=1, loss="triplet+0.5*softmax")):
        assert set(report.terms) == {"triplet", "softmax"}
        assert sum(report.terms.values()) == pytest.approx(report.loss)


def test_progress_counts_every_step() -> None:
    seen: list[Progress] = []
    train(network(), IMAGES, LABELS, replace(RECIPE, epochs=2), on_step=seen.append)
    assert [(p.epoch, p.step, p.steps) for p in seen] == [(e, s, 3) for e in (0, 1) for s in (1, 2, 3)]
    assert all(p.images_per_second > 0 and math.isfinite(p.loss) for p in seen)


def test_weights_without_a_number_after_the_last_step_are_named() -> None:
    def poison(model: nn.Module, epoch: int) -> None:
        with torch.no_grad():
            model.get_parameter("conv1.conv.weight")[0] = math.nan

    with pytest.raises(TrainingDiverged, match=r"conv1\.conv\.weight is not finite after .* epoch 1 of 1"):
        train(network(), IMAGES, LABELS, replace(RECIPE, epochs=1), after_epoch=poison)


class Tiny(ReIDNetwork):
    """Small enough to be compiled in a test."""

    blocks = ()
    embedding_dim = 4

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.classifier = nn.Conv2d(3, 4, 8, 8), nn.Linear(4, 6)

    def embed(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        feature = self.conv(images).relu().mean((2, 3))
        return feature, feature


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")  # torch's own import
def test_compiled_training_is_the_same_training(monkeypatch: pytest.MonkeyPatch) -> None:
    # The compiler proper takes a minute on a busy machine, and is torch's business.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    recipe = replace(RECIPE, epochs=1, loss="softmax")
    plain, compiled = Tiny(), Tiny()
    one = train(plain, IMAGES, LABELS, recipe)
    other = train(compiled, IMAGES, LABELS, replace(recipe, compile=True))
    assert other[0].loss == pytest.approx(one[0].loss, rel=1e-4)
    torch.testing.assert_close(compiled.conv.weight, plain.conv.weight, rtol=1e-3, atol=1e-5)
    assert set(compiled.state_dict()) == set(plain.state_dict())


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning")
def test_a_compiler_that_fails_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    with pytest.raises(NotHere, match=r"no compiler here.*set compile to false"):
        train(Tiny(), IMAGES, LABELS, replace(RECIPE, loss="softmax", compile=True))


def test_curves_are_read_back_by_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer = CurveWriter(tmp_path)
    for epoch, score in enumerate([None, 0.25]):
        writer.epoch(
            "dense",
            EpochReport(
                epoch=epoch, loss=2.0 - epoch, terms={"softmax": 2.0 - epoch}, images_per_second=50.0,
                seconds=1.0, learning_rate=0.1, val_mAP=score,
            ),
        )  # fmt: skip
    writer.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("dense/loss")] == [(1, 2.0), (2, 1.0)]
    assert [(e.step, e.value) for e in events.Scalars("dense/validation_mAP")] == [(2, 0.25)]
    assert {"dense/loss_of_softmax", "dense/learning_rate", "dense/images_per_second"} <= set(
        events.Tags()["scalars"]
    )


FAULTS_OF_EQUAL_BLOCKS = """
import resource
import numpy as np
from reid.train.allocator import keep_freed_memory

print(keep_freed_memory())
for _ in range(5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(64 << 20, np.uint8)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_that_steps_free_is_kept_on_glibc() -> None:
    """Pages of a freed block come back without a fault of the kernel.

    In a process of its own, since what tests before it have allocated and set decides what malloc does with a block.
    """
    call = [sys.executable, "-c", FAULTS_OF_EQUAL_BLOCKS]
    kept, *faults = subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()
    assert kept == str(platform.libc_ver()[0] == "glibc")
    if kept == "False":
        pytest.skip("no glibc")
    # Fresh pages would be 16384 faults of 4 KiB, or 32 of 2 MiB, each time; the first blocks may be fresh.
    assert min(map(int, faults)) < 20
