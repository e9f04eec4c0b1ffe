"""Between steps 1 and 2: what a teacher sees in the training images, for the distillation terms.

The student trains on augmented crops at its own size. With `teacher_view: plain` the teacher sees each plain image and
its mirror image once, at the teacher's size, and the sum of the two embeddings stands for every augmented view of the
image: the student learns that they all mean the same, and no teacher runs during training. With `augmented` the
teacher runs in every step on the very pixels that the student sees, scaled to its size: that costs a forward pass of
the teacher, and the student can be taught for much longer before it learns the training images by heart. `drawn` lies
between the two: some variants of each image are drawn once, the teacher embeds each of them once, and no student, of
whatever input size, sees others, apart from mirror images.

Source of `augmented`: Beyer et al., Knowledge distillation: A good teacher is patient and consistent, CVPR 2022.
"""

import copy
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from reid.config import TrialConfig
from reid.data import Sample, decode_images, progress_lines
from reid.errors import ConfigError
from reid.evaluate import RankingResult, evaluate
from reid.files import sha256_of, write_json
from reid.losses import demand_mixable, needs_teacher
from reid.models import ReIDNetwork, code_key
from reid.runtime.base import unit_length
from reid.runtime.foreign import options_beside
from reid.runtime.teacher import (
    Teacher,
    check_teacher_file,
    live_teacher,
    open_teacher,
    teacher_files,
)
from reid.runtime.teacher_spec import find_spec, own_spec
from reid.runtime.torch_teacher import TorchTeacher
from reid.steps.data import TrialData
from reid.steps.embeddings import BATCH, load_embeddings, write_embeddings
from reid.steps.teacher_check import GIVEN, check_reading
from reid.steps.views import drawn_embedder, drawn_parameters
from reid.steps.workshop import Workshop
from reid.train import embed

__all__ = [
    "DENSE",
    "Trained",
    "both_ways",
    "check_teacher",
    "plain_options",
    "score_teacher",
    "teach",
    "teach_by_network",
    "teacher_parameters",
    "training_device",
    "watch",
]

DENSE = "dense"
"""Setting of `teacher` that makes the trial's own dense network teach the slimmed one."""


class Trained(Protocol):
    """A network and the content key of its weights, e.g. `reid.steps.dense.Network`."""

    @property
    def model(self) -> ReIDNetwork:
        """The network."""
        ...

    @property
    def key(self) -> str:
        """Content key of its weights."""
        ...


def check_teacher(config: TrialConfig) -> None:
    """Refuse a teacher that cannot teach, before any work begins.

    Raises:
        ConfigError: distillation terms without a teacher, a teacher without such terms, a file that is absent or of
            no known kind, lacks its specification or needs a library that is not installed, or a dense network that
            would have to teach itself.
    """
    losses = [loss for loss in (config.loss, config.finetune_loss) if loss is not None]
    taught = [loss for loss in losses if needs_teacher(loss)]
    _check_view(config, losses)
    if config.teacher is None:
        if taught:
            raise ConfigError(f"loss {taught[0]!r} has distill- terms; set teacher to a file or to {DENSE!r}")
        _demand_undescribed(config, "describes a teacher; set teacher too")
        return
    if not taught:
        raise ConfigError(
            f"teacher {config.teacher} has nothing to teach: neither loss nor finetune_loss has a distill- term; "
            "add one such as 0.5*distill-distance, or leave teacher out"
        )
    if config.teacher != DENSE:
        if config.teacher_view == "augmented":
            _check_live(config.teacher, config.teacher_spec, config.teacher_backbone, plain_options(config))
        else:
            check_teacher_file(config.teacher, **_reading(config))
        return
    _demand_undescribed(config, f"is for files; leave it out with teacher {DENSE}")
    if needs_teacher(config.loss):
        raise ConfigError(
            f"teacher {DENSE}: the dense network cannot teach itself, but loss {config.loss!r} has distill- terms; "
            "move them to finetune_loss"
        )


def teach(
    work: Workshop, data: TrialData, *, loss: str | None = None, dense: Trained | None = None
) -> NDArray[np.float32] | None:
    """A teacher's embeddings of the training images, or of variants of them, out of the cache where they are known.

    Args:
        work: its configuration names the teacher.
        data: the trial's images; the teacher gets them at its own size.
        loss: of the training that is to be taught; None takes the configuration's `loss`.
        dense: the dense network, for `teacher: dense`.

    Returns:
        (N, T) float32, row i belongs to `data.train[i]`, each row of length 1; (N, V, T) where `teacher_view` is
        "drawn"; None where `loss` has no distill- term.

    Raises:
        ConfigError: as in `check_teacher`, or the teacher ranks clearly better when read in another way (wrong
            channel order or range).
        DataError: an image is damaged.
    """
    config = work.config
    if not needs_teacher(loss or config.loss):
        return None
    if config.teacher is None or (config.teacher == DENSE and dense is None):
        raise ConfigError(
            f"loss {loss or config.loss!r} has distill- terms, but nobody to teach; set teacher"
        )
    if dense is not None and config.teacher == DENSE:
        return teach_by_network(
            work, data, dense, view="drawn" if config.teacher_view == "drawn" else "plain"
        )
    return _teach_by_file(work, data, config.teacher)


def training_device() -> str:
    """Where networks are trained and teachers run: the first GPU that this process sees, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def watch(config: TrialConfig, data: TrialData, loss: str, dense: Trained | None) -> TorchTeacher | None:
    """The teacher that embeds each augmented batch, on the device of trainings; None where none is to.

    Args:
        config: names the teacher and its view.
        data: the trial's images, for their size.
        loss: of the training that is to be taught.
        dense: the dense network, for `teacher: dense`.

    Raises:
        ConfigError: as in `check_teacher`, or torch cannot compute the teacher.
    """
    if config.teacher is None or config.teacher_view != "augmented" or not needs_teacher(loss):
        return None
    if config.teacher == DENSE and dense is not None:
        height, width = data.images.shape[1:3]
        network = copy.deepcopy(dense.model)
        return TorchTeacher(network, own_spec(height, width, network.embedding_dim)).to(training_device())
    teacher = live_teacher(config.teacher, **_reading(config))
    return teacher.to(training_device())


def teacher_parameters(config: TrialConfig) -> dict[str, Any]:
    """What decides the embeddings of a teacher besides the images, as JSON values; nothing without a teacher.

    Raises:
        ConfigError: a file is absent, or its specification is wrong.
    """
    # Named only where it is not the default, so that what was computed before there was a choice is still found.
    view: dict[str, Any] = {} if config.teacher_view == "plain" else {"view": config.teacher_view}
    if config.teacher_view == "drawn":
        view["view"] = drawn_parameters(config)
    if config.teacher is None or config.teacher == DENSE:
        return {} if config.teacher is None else {"teacher": DENSE, **view}
    files = teacher_files(config.teacher)
    spec = find_spec(files[0], config.teacher_spec)
    options = options_beside(files[0]) if config.teacher_backbone else {}
    options |= config.teacher_options or {}
    return {
        "teacher": [sha256_of(file) for file in files],
        "spec": spec.to_dict() if spec else None,
        "backbone": code_key(config.teacher_backbone) if config.teacher_backbone else None,
        **({"options": options} if options else {}),
        **view,
    }


def score_teacher(
    teacher: Teacher, root: Path, query: Sequence[Sample], gallery: Sequence[Sample]
) -> RankingResult:
    """Retrieval accuracy of a teacher as its specification says: tells whether it is read in the right way.

    Args:
        teacher: opened.
        root: of the dataset, beside which decoded images are kept.
        query: samples that are searched for.
        gallery: samples that are searched in.

    Raises:
        DataError: an image is damaged, or no query has a match.
    """
    images = [decode_images(part, teacher.input_size, root).array for part in (query, gallery)]
    return evaluate(teacher.embed, query, images[0], gallery, images[1], batch=BATCH)


def plain_options(config: TrialConfig) -> tuple[tuple[str, Any], ...] | None:
    """The network options of a teacher as a value that can be remembered by."""
    return None if config.teacher_options is None else tuple(sorted(config.teacher_options.items()))


def both_ways(teacher: Teacher, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Embedding of each image plus that of its mirror image, of length 1.

    Args:
        teacher: opened.
        images: (N, H, W, 3) uint8 RGB at the teacher's size.

    Returns:
        (N, T) float32.
    """
    if teacher.spec.images.flip:
        return teacher.embed(images)
    return unit_length(teacher.embed(images) + teacher.embed(images[:, :, ::-1]))


def _check_view(config: TrialConfig, losses: Sequence[str]) -> None:
    if config.mixup:
        for loss in losses:
            demand_mixable(loss)
        if config.teacher_view != "augmented":
            raise ConfigError(
                f"mixup {config.mixup:g} makes images that a teacher has not seen before the training; set "
                "teacher_view to augmented"
            )
    if config.teacher_view != "plain" and config.teacher is None:
        raise ConfigError(f"teacher_view {config.teacher_view} needs a teacher; set teacher too")


def _demand_undescribed(config: TrialConfig, why: str) -> None:
    for name in ("teacher_spec", "teacher_backbone", "teacher_options"):
        if getattr(config, name) is not None:
            raise ConfigError(f"{name} {why}")


def _reading(config: TrialConfig) -> dict[str, Any]:
    return {
        "spec": config.teacher_spec,
        "backbone": config.teacher_backbone,
        "options": config.teacher_options,
    }


@cache
def _check_live(
    path: str, spec: str | None, backbone: str | None, options: tuple[tuple[str, Any], ...] | None
) -> None:
    """Refuse what `live_teacher` does; once for a file, as every corner of a space asks."""
    live_teacher(path, spec=spec, backbone=backbone, options=None if options is None else dict(options))


def _teach_by_file(work: Workshop, data: TrialData, path: str) -> NDArray[np.float32]:
    config = work.config

    def compute(folder: Path) -> None:
        with work.lock.shared():
            teacher = open_teacher(
                path,
                **_reading(config),
                threads=torch.get_num_threads(),
                device=training_device(),
            )
        images = decode_images(
            data.train,
            teacher.input_size,
            data.dataset.root,
            gate=work.lock.shared,
            progress=progress_lines(work.say),
        ).array
        readings = check_reading(teacher, data, work.lock.shared)
        if readings:
            work.say(f"teach: mAP {readings[GIVEN]:.3f} of the teacher on a few validation identities")
        write_json(folder / "readings.json", readings)
        if config.teacher_view == "drawn":
            rows = drawn_embedder(config, images, teacher.embed)
            write_embeddings(work, len(images), rows, folder, views=config.teacher_views)
        else:
            write_embeddings(work, len(images), lambda part: both_ways(teacher, images[part]), folder)

    parameters = teacher_parameters(config)
    if config.teacher_view == "augmented":
        del parameters["view"]  # the classes' means are those of plain images
    folder, _ = work.stage("teach", 1, parameters, (data.split_key,), compute)
    return load_embeddings(folder)


def teach_by_network(
    work: Workshop, data: TrialData, dense: Trained, *, view: Literal["plain", "upright", "drawn"] = "plain"
) -> NDArray[np.float32]:
    """A network's embedding of each training image, out of the cache where they are known.

    Args:
        work: the trial.
        data: its images.
        dense: the network.
        view: "plain" adds the embedding of the mirror image, "upright" does not; "drawn" as `teacher_view`.

    Returns:
        (N, D) float32, row i belongs to `data.train[i]`, each row of length 1; (N, V, D) for "drawn".
    """
    images = data.images

    def unit(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return unit_length(embed(dense.model, batch))

    def rows(part: slice) -> NDArray[np.float32]:
        found = unit(images[part])
        return found if view == "upright" else unit_length(found + unit(images[part, :, ::-1]))

    def compute(folder: Path) -> None:
        dense.model.to(training_device())
        try:
            # The shortened floats of tensor cores would make embeddings depend on the machine.
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                if view == "drawn":
                    variants = drawn_embedder(work.config, images, unit)
                    write_embeddings(work, len(images), variants, folder, views=work.config.teacher_views)
                else:
                    write_embeddings(work, len(images), rows, folder)
        finally:
            dense.model.to("cpu")

    parameters: dict[str, Any] = {"teacher": DENSE}
    if view == "upright":
        parameters["mirror"] = False
    if view == "drawn":
        parameters["view"] = drawn_parameters(work.config)
    folder, _ = work.stage("teach", 1, parameters, (dense.key, data.key), compute)
    return load_embeddings(folder)
