"""`reid-pareto train`: the dense baseline alone."""

from collections.abc import Set
from pathlib import Path
from typing import Annotated, Any

import typer

from reid.config import TrialConfig
from reid.data import dataset_name
from reid.errors import ConfigError
from reid.outcome import TrialOutcome
from reid.pruning_settings import PRUNING
from search.console import accuracy, errors, print_json
from search.console import out as console
from search.options import parse_settings, parse_size

__all__ = ["train"]

_DEFAULTS = TrialConfig()
_CURVES = "tensorboard"
_DENSE = {"method": "none", "prune_rate": 0.0}
_PK, _OTHERS = ("sampler", ("pk",)), ("sampler", ("class-balanced", "random"))
_READ_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    "identities_per_batch": _PK,
    "images_per_identity": _PK,
    "batch_size": _OTHERS,
    "teacher_views": ("teacher_view", ("drawn",)),
}

# Written out, because the modules that know them need torch, and help should not.
_BACKBONES = (
    "convnext_tiny, densenet121, efficientnet_b0, mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small, osnet_x0_25, "
    "osnet_x0_5, osnet_x0_75, osnet_x1_0, resnet18, resnet34, resnet50, resnet101, swin_t"
)
_TERMS = (
    "am-softmax, arcface, circle, contrastive, cosface, focal, instance, instance-id, l2, lifted, multi-similarity, "
    "softmax, sphereface, triplet, triplet-adaptive, triplet-soft; with a teacher distill-angle, distill-cosine, "
    "distill-distance, distill-embedding, distill-logit, distill-similarity"
)
_NETWORK_OPTIONS = "last_stride, ibn, width, parts, drop_branches, dropout, spectral"


def _option(panel: str, text: str) -> Any:
    return typer.Option(help=text, rich_help_panel=panel)


_NETWORK, _LOSS, _DESCENT = "Network", "Loss and teacher", "Optimisation"
_BATCHES, _VARIANTS, _JUDGING = "Batches", "Augmentation", "Validation"


def train(
    context: typer.Context,
    data: Annotated[Path, typer.Option(help="Prepared dataset, see `reid-pareto data prepare`.")],
    out: Annotated[Path, typer.Option(help="New folder for weights, ONNX file, figures and curves.")],
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = _DEFAULTS.seed,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help=f"name=value of any other setting: {_NETWORK_OPTIONS} of the network; see docs/settings.md.",
        ),
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of stages, shared between runs.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    backbone: Annotated[
        str, _option(_NETWORK, f"{_BACKBONES}, or module:function of your own.")
    ] = _DEFAULTS.backbone,
    weights: Annotated[
        str | None,
        _option(_NETWORK, "State dict to start from, imagenet, or torchvision's name."),
    ] = None,
    input_size: Annotated[str, _option(_NETWORK, "HEIGHTxWIDTH in pixels.")] = "128x64",
    head: Annotated[str, _option(_NETWORK, "default, bnneck, linear or pcb.")] = _DEFAULTS.head,
    pooling: Annotated[str, _option(_NETWORK, "avg, max or gem.")] = _DEFAULTS.pooling,
    loss: Annotated[
        str, _option(_LOSS, f"Terms joined by +, as softmax+0.5*circle: {_TERMS}.")
    ] = _DEFAULTS.loss,
    label_smoothing: Annotated[
        float, _option(_LOSS, "Share of the target spread over all identities.")
    ] = _DEFAULTS.label_smoothing,
    teacher: Annotated[str | None, _option(_LOSS, "Network that distill- terms compare with.")] = None,
    teacher_spec: Annotated[str | None, _option(_LOSS, "How images reach the teacher.")] = None,
    teacher_backbone: Annotated[str | None, _option(_LOSS, "Network of a teacher's state dict.")] = None,
    teacher_view: Annotated[
        str, _option(_LOSS, "plain; drawn or augmented: the teacher sees what the student sees.")
    ] = _DEFAULTS.teacher_view,
    teacher_views: Annotated[
        int, _option(_LOSS, "Variants of each image, with --teacher-view drawn.")
    ] = _DEFAULTS.teacher_views,
    epochs: Annotated[int, _option(_DESCENT, "Passes over the training images.")] = _DEFAULTS.epochs,
    learning_rate: Annotated[float, _option(_DESCENT, "Peak learning rate.")] = _DEFAULTS.learning_rate,
    backbone_rate: Annotated[
        float, _option(_DESCENT, "Factor on the rate of all but the head.")
    ] = _DEFAULTS.backbone_rate,
    warmup_epochs: Annotated[int, _option(_DESCENT, "Linear warm-up.")] = _DEFAULTS.warmup_epochs,
    schedule: Annotated[str, _option(_DESCENT, "cosine, step or constant.")] = _DEFAULTS.schedule,
    milestones: Annotated[str, _option(_DESCENT, "Epochs for schedule step, e.g. 40,60.")] = "",
    optimizer: Annotated[str, _option(_DESCENT, "adam, adamw or sgd.")] = _DEFAULTS.optimizer,
    weight_decay: Annotated[float, _option(_DESCENT, "Weight decay.")] = _DEFAULTS.weight_decay,
    clip_norm: Annotated[float, _option(_DESCENT, "Largest gradient norm, 0 = off.")] = _DEFAULTS.clip_norm,
    ema_decay: Annotated[
        float, _option(_DESCENT, "Moving average of the weights, e.g. 0.996; 0 = off.")
    ] = _DEFAULTS.ema_decay,
    ema_start: Annotated[
        float, _option(_DESCENT, "Share of the epochs before it begins.")
    ] = _DEFAULTS.ema_start,
    precision: Annotated[str, _option(_DESCENT, "auto, fp32, bf16 or fp16.")] = _DEFAULTS.precision,
    compile: Annotated[bool, _option(_DESCENT, "Compile the forward pass.")] = _DEFAULTS.compile,
    sampler: Annotated[str, _option(_BATCHES, "pk, class-balanced or random.")] = _DEFAULTS.sampler,
    identities_per_batch: Annotated[int, _option(_BATCHES, "P of pk.")] = _DEFAULTS.identities_per_batch,
    images_per_identity: Annotated[int, _option(_BATCHES, "K of pk.")] = _DEFAULTS.images_per_identity,
    batch_size: Annotated[int, _option(_BATCHES, "Of the other samplers.")] = _DEFAULTS.batch_size,
    flip: Annotated[float, _option(_VARIANTS, "Probability of the mirror image.")] = _DEFAULTS.flip,
    pad_crop: Annotated[
        float, _option(_VARIANTS, "Padding before the random crop, in pixels at 256x128.")
    ] = _DEFAULTS.pad_crop,
    erasing: Annotated[float, _option(_VARIANTS, "Probability of random erasing.")] = _DEFAULTS.erasing,
    colour_jitter: Annotated[
        float, _option(_VARIANTS, "Reach of brightness, contrast, saturation.")
    ] = _DEFAULTS.colour_jitter,
    hue: Annotated[float, _option(_VARIANTS, "Reach on the colour circle, up to 0.5.")] = _DEFAULTS.hue,
    grayscale: Annotated[float, _option(_VARIANTS, "Probability of a grey rectangle.")] = _DEFAULTS.grayscale,
    mixup: Annotated[
        float, _option(_VARIANTS, "Probability of a blend of two images; for distill- terms alone.")
    ] = _DEFAULTS.mixup,
    validation_share: Annotated[
        float, _option(_JUDGING, "Share of the training identities held out.")
    ] = _DEFAULTS.validation_share,
    validate_every: Annotated[
        int, _option(_JUDGING, "Epochs between two evaluations on them, 0 = never.")
    ] = _DEFAULTS.validate_every,
    patience: Annotated[
        int, _option(_JUDGING, "Evaluations without a new best before stopping, 0 = never.")
    ] = _DEFAULTS.patience,
    keep: Annotated[str, _option(_JUDGING, "Epoch whose weights are kept: last or best.")] = _DEFAULTS.keep,
) -> None:
    """Train a dense network, export it, evaluate it on held-out identities and time it.

    The same command resumes a training that was interrupted. Curves: tensorboard --logdir OUT/tensorboard

    Example: reid-pareto train --data DATA --backbone resnet18 --epochs 40 --out runs/resnet18
    """
    # Every option but the first few is called like the setting that it gives.
    options = {name: value for name, value in locals().items() if name in TrialConfig.names()}
    options["input_size"] = list(parse_size(input_size))
    options["milestones"] = _numbers(milestones)
    assigned = parse_settings(settings or [])
    typed = {name for name in options if _is_typed(context, name)}
    _refuse_contradictions({name: options[name] for name in typed}, assigned)
    config = _config(data, options, assigned)
    _refuse_unread(typed | assigned.keys(), config)
    _refuse_idle_milestones(config)
    # Late, because torch takes seconds to load: help and a typing error should not.
    from search.single import run_single, summary
    from search.training_view import TrainingView

    with TrainingView(errors, out / _CURVES) as view:
        outcome = run_single(config, data, out, cache=cache, watcher=view)
    if json:
        print_json(summary(outcome))
    else:
        _tell(outcome, out)


def _config(data: Path, options: dict[str, Any], assigned: dict[str, Any]) -> TrialConfig:
    for name in assigned:
        if name in PRUNING:
            raise ConfigError(f"--set {name}: train does not prune; use `reid-pareto trial`")
    if "dataset" in assigned:
        raise ConfigError("--set dataset: the folder that --data names says which; leave it out")
    return TrialConfig.from_dict({**options, **assigned, **_DENSE, "dataset": dataset_name(data)})


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_contradictions(typed: dict[str, Any], assigned: dict[str, Any]) -> None:
    for name in typed.keys() & assigned.keys():
        if typed[name] != assigned[name]:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{option} gives {typed[name]!r}, --set {name} gives {assigned[name]!r}; leave one out"
            )


def _refuse_unread(said: Set[str], config: TrialConfig) -> None:
    for name, (setting, readers) in _READ_BY.items():
        if name in said and (value := getattr(config, setting)) not in readers:
            option, other = (f"--{word.replace('_', '-')}" for word in (name, setting))
            raise ConfigError(
                f"{option} is of {setting} {' and '.join(readers)}, and {setting} {value} does not read it; "
                f"leave it out, or set {other} {readers[0]}"
            )


def _refuse_idle_milestones(config: TrialConfig) -> None:
    if config.milestones and config.milestones[-1] >= config.epochs:
        raise ConfigError(
            f"--milestones {','.join(map(str, config.milestones))} with --epochs {config.epochs}: the rate falls after "
            "a milestone, so name epochs before the last, or raise --epochs"
        )


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--milestones takes epochs such as 40,60, got {text!r}")
    return [int(part) for part in parts]


def _tell(outcome: TrialOutcome, out: Path) -> None:
    metrics = outcome.metrics
    console.print(
        f"{accuracy(metrics)} on held-out identities; "
        f"{metrics['latency_ms']:.2f} ms{'' if outcome.latency_trusted else ' (untrusted)'}, "
        f"{metrics['params'] / 1e6:.2f} M parameters; in {out}",
        markup=False,
    )
    console.print(outcome.protocol, markup=False)
    measured = [row for row in outcome.curves if row["val_mAP"] is not None]
    if measured:
        best = max(measured, key=lambda row: row["val_mAP"])
        console.print(f"best validation mAP {best['val_mAP']:.4f} after epoch {best['epoch'] + 1}")
