"""Networks whose classifier is judged: which identities it knows, and on which images of them it is asked."""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid.config import TrialConfig
from reid.data import ReIDDataset, Sample, decode_images, split_validation
from reid.errors import ConfigError, DataError
from reid.evaluate.classification import Classification, classify, one_image_per_identity
from reid.files import read_json
from reid.losses import CLASSIFIER_TERMS, trains_classifier
from reid.models import (
    NetworkOptions,
    ReIDNetwork,
    build,
    demand_input_size,
    load_weights,
    network_options,
    read_state_dict,
)
from reid.prune import soft_epochs
from reid.prune.storage import load_slim

__all__ = ["classify_run", "classify_weights"]

_CONFIG, _WEIGHTS, _PLAN = "config.json", "model.safetensors", "plan.json"
_Gate = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """Images of the identities that a classifier knows, and what to say about them."""

    known: list[int]
    samples: tuple[Sample, ...]
    protocol: str

    @classmethod
    def about(cls, training: tuple[Sample, ...], seed: int, seen: str) -> "_Question":
        known = sorted({sample.person_id for sample in training})
        return cls(
            known=known,
            samples=one_image_per_identity(training, seed),
            protocol=f"classifier, one image of each of {len(known)} training identities, drawn by hash with "
            f"seed {seed}; {seen}",
        )


def classify_run(run: Path, dataset: ReIDDataset, *, gate: _Gate = nullcontext) -> Classification:
    """Judge the classifier of a network that `reid-pareto train` or `trial` left in a folder.

    It learned every image of its training identities, so this is the accuracy of training.

    Args:
        run: folder with `config.json` and `model.safetensors`, and `plan.json` of a slim network.
        dataset: that it was trained on.
        gate: entered around every piece of computing; holds a device so that no timing runs beside it.

    Raises:
        ConfigError: the folder holds no weights with a classifier, a classifier that no term of the loss trained, or
            one of other identities.
        DataError: an image is damaged.
    """
    if not (run / _CONFIG).is_file() or not (run / _WEIGHTS).is_file():
        raise ConfigError(
            f"{run} has no {_CONFIG} and {_WEIGHTS}: an exported file has no classifier; give the folder that "
            "`reid-pareto train` wrote, or a state dict with --backbone"
        )
    config = TrialConfig.from_dict(read_json(run / _CONFIG))
    _demand_trained(config, run)
    if config.dataset != dataset.name:
        raise ConfigError(f"{run} was trained on {config.dataset}; {dataset.root} holds {dataset.name}")
    training = split_validation(dataset, config.validation_share, config.seed).train
    question = _Question.about(training, config.seed, "the training saw them")
    options = dataclasses.asdict(network_options(config))
    classes = _classes(run / _WEIGHTS)
    if classes is not None and classes != len(question.known):
        raise ConfigError(
            f"the classifier in {run} knows {classes} identities, but {dataset.root} has {len(question.known)} "
            "training identities under its settings; give the dataset it was trained on"
        )

    def dense() -> ReIDNetwork:
        return build(config.backbone, len(question.known), **options)

    with gate():
        if (run / _PLAN).is_file():
            model, _ = load_slim(dense, run)
        else:
            model = dense()
            load_weights(model, run / _WEIGHTS)
    return _ask(model, question, dataset, config.input_size, gate)


def classify_weights(
    weights: Path,
    backbone: str,
    input_size: tuple[int, int],
    options: Mapping[str, Any],
    dataset: ReIDDataset,
    *,
    validation_share: float,
    seed: int,
    gate: _Gate = nullcontext,
) -> Classification:
    """Judge the classifier of a state dict, whose classes are the training identities in ascending order.

    These are all training identities of the dataset, or those that the validation split leaves, whichever their
    number fits.

    Args:
        weights: state dict with a classifier.
        backbone: key of `reid.models.BACKBONES`.
        input_size: (height, width) in pixels.
        options: as for `open_weights`.
        dataset: that the network was trained on.
        validation_share: of the split that may have been held out.
        seed: of that split, and of the images drawn.
        gate: as for `classify_run`.

    Raises:
        ConfigError: the file has no classifier, or one of other identities; or as in `open_weights`.
        DataError: an image is damaged.
    """
    demand_input_size(backbone, input_size)
    chosen = NetworkOptions.from_dict(options)
    seen = "whether the training saw them is not recorded"
    classes = _classes(weights)
    questions = [_Question.about(dataset.train, seed, seen)]
    if len(questions[0].known) != classes:
        with suppress(DataError):  # classes can be judged on images that no validation could use
            left = split_validation(dataset, validation_share, seed).train
            questions.append(_Question.about(left, seed, seen))
    fitting = next((question for question in questions if len(question.known) == classes), None)
    if fitting is None:
        known = " or ".join(str(len(question.known)) for question in questions)
        knows = "holds no classifier" if classes is None else f"has a classifier of {classes} identities"
        raise ConfigError(
            f"{weights} {knows}; {dataset.root} has {known} training identities (all, or without validation "
            f"share {validation_share:g} at seed {seed})"
        )
    with gate():
        model = build(backbone, len(fitting.known), weights=weights, **dataclasses.asdict(chosen))
    _demand_whole(weights, model)
    return _ask(model, fitting, dataset, input_size, gate)


def _demand_trained(config: TrialConfig, run: Path) -> None:
    finetuned = config.method != "none" and config.finetune_epochs
    finetuning = config.loss if config.finetune_loss is None else config.finetune_loss
    losses = [config.loss] * bool(config.epochs or soft_epochs(config)) + [finetuning] * bool(finetuned)
    if not any(trains_classifier(loss) for loss in losses):
        by = (
            f"was trained by {' and '.join(dict.fromkeys(losses))}, which"
            if losses
            else "was not trained, which"
        )
        raise ConfigError(
            f"{run} {by} leaves the classifier as it was; it can be judged after a training with "
            f"{', '.join(CLASSIFIER_TERMS)} in the loss"
        )


def _ask(
    model: ReIDNetwork, question: _Question, dataset: ReIDDataset, input_size: tuple[int, int], gate: _Gate
) -> Classification:
    images = decode_images(question.samples, input_size, dataset.root, gate=gate).array
    classes = np.searchsorted(question.known, [sample.person_id for sample in question.samples])
    return classify(model, images, classes, protocol=question.protocol, gate=gate)


def _demand_whole(weights: Path, model: ReIDNetwork) -> None:
    placed = model.state_dict().keys()
    left_out = [
        name for name in read_state_dict(weights) if name.startswith("classifier.") and name not in placed
    ]
    if left_out:
        raise ConfigError(
            f"{weights} holds {', '.join(left_out)}, which the network has no place for: it would be another "
            "classifier that is judged"
        )


def _classes(weights: Path) -> int | None:
    """Rows of the (last) classifier in a weight file; None where it holds none."""
    rows = [
        len(value)
        for name, value in read_state_dict(weights).items()
        if name.startswith("classifier.") and name.endswith("weight") and value.ndim >= 2
    ]
    return rows[-1] if rows else None
