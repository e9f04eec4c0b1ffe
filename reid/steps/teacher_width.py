"""Whether a teacher's embedding is as wide as that of the network which is to copy it, before either has worked."""

import dataclasses
from functools import cache
from typing import Any

import torch

from reid.config import TrialConfig
from reid.errors import ConfigError
from reid.losses import parse_loss
from reid.models import NetworkOptions, build
from reid.prune import Scope, find_units
from reid.runtime.teacher import open_teacher
from reid.steps.teach import DENSE, plain_options

__all__ = ["check_widths"]

_COPYING = "distill-cosine"
_OTHERS = "take distill-embedding, which learns a map between widths"


def check_widths(config: TrialConfig, options: NetworkOptions) -> None:
    """Refuse the term that compares embeddings number by number where it would meet two widths.

    Args:
        config: with names and a teacher that are known to fit.
        options: of its network.

    Raises:
        ConfigError: the teacher's embedding has another width than the network's, or pruning narrows the network's
            before finetuning compares; or the teacher cannot be opened, or nothing can be narrowed.
    """
    finetuning = config.loss if config.finetune_loss is None else config.finetune_loss
    losses = [loss for loss in (config.loss, finetuning) if _COPYING in parse_loss(loss)]
    if config.teacher is None or not losses:
        return
    if config.teacher != DENSE:
        given = _teacher_width(
            config.teacher, config.teacher_spec, config.teacher_backbone, plain_options(config)
        )
        own = _network_width(config.backbone, options)
        if given != own:
            raise ConfigError(
                f"loss {losses[0]!r}: the embedding of teacher {config.teacher} is {given} wide, that of "
                f"{config.backbone} {own}, and {_COPYING} wants one width; {_OTHERS}"
            )
    narrows = config.prune_rate > 0 or config.allocate == "latency"
    finetunes = config.method != "none" and config.finetune_epochs > 0 and finetuning in losses
    if finetunes and narrows and _embedding_narrows(config.backbone, options, config.scope):
        raise ConfigError(
            f"loss {finetuning!r}: scope {config.scope} narrows the embedding of {config.backbone}, and {_COPYING} "
            f"wants that of the teacher and that of the finetuned network in one width; {_OTHERS}, set scope to "
            "inner, or set head to linear"
        )


# Once for a file or a network, as every corner of a space asks.
@cache
def _teacher_width(
    path: str, spec: str | None, backbone: str | None, options: tuple[tuple[str, Any], ...] | None
) -> int:
    network = None if options is None else dict(options)
    return open_teacher(path, spec=spec, backbone=backbone, options=network).spec.images.embedding_dim


@cache
def _network_width(backbone: str, options: NetworkOptions) -> int:
    with torch.random.fork_rng([]):
        return build(backbone, 1, **dataclasses.asdict(options)).embedding_dim


@cache
def _embedding_narrows(backbone: str, options: NetworkOptions, scope: Scope) -> bool:
    with torch.random.fork_rng([]):
        network = build(backbone, 1, **dataclasses.asdict(options))
    return any(unit.is_embedding for unit in find_units(network.eval(), scope))
