"""Checks that every name in a configuration is known and fits the others, before any work begins."""

from reid.config import TrialConfig, reject_unknown
from reid.data import DATASETS
from reid.errors import ConfigError
from reid.losses import demand_relations, parse_loss
from reid.models import demand_backbone, demand_input_size, network_options
from reid.plugins import is_dotted_path
from reid.prune import METHODS, demand_nni, method_of, soft_epochs
from reid.quantize import SCHEMES, demand_offered
from reid.rehearsal import rehearse
from reid.runtime import RUNTIMES
from reid.runtime.graph import demand_graph_timer
from reid.steps.teach import check_teacher
from reid.steps.teacher_width import check_widths

__all__ = ["check_names"]

# Attention in shifted windows is exported as operators that `reid.runtime.operators` does not hold.
_BEYOND_TORCH = ("swin_t",)
_READING_SCHEMES = ("int8-qat", "int8-mixed")
_READING_RUNTIMES = ("executorch", "torch-cuda", "torchscript", "torchscript-qnnpack")


def check_names(config: TrialConfig) -> None:
    """Refuse unknown names, and options, losses and teachers that do not fit them.

    Raises:
        ConfigError: names the setting, the unknown name and the known ones.
    """
    reject_unknown([config.dataset], DATASETS, "dataset")
    demand_backbone(config.backbone)
    reject_unknown([config.method], METHODS, "method")
    soft_epochs(config)
    reject_unknown([config.quantization], SCHEMES, "quantization")
    reject_unknown([config.target.runtime], RUNTIMES, "target.runtime")
    _check_method(config)
    demand_offered(config.quantization, config.target)
    _check_operators(config)
    options = network_options(config)
    options.demand_offered(config.backbone)
    demand_input_size(config.backbone, config.input_size)
    if is_dotted_path(config.backbone):
        rehearse(
            config.backbone,
            options,
            config.input_size,
            None if config.method == "none" else config.scope,
            _reader(config),
        )
    _check_qat_loss(config.qat_loss)
    _check_losses(config)
    check_teacher(config)
    check_widths(config, options)


def _check_operators(config: TrialConfig) -> None:
    """Refuse what reads the exported file back into torch, for networks with operators that are unknown there."""
    reader = _reader(config)
    if config.backbone in _BEYOND_TORCH and reader is not None:
        raise ConfigError(
            f"{reader} reads the exported file back into torch, which knows not all operators of {config.backbone}; "
            "take int8-static or fp32 on onnxruntime or openvino"
        )


def _reader(config: TrialConfig) -> str | None:
    """The setting that has the exported file read back into torch, where one has."""
    if config.quantization in _READING_SCHEMES:
        return f"quantization {config.quantization}"
    if config.target.runtime in _READING_RUNTIMES:
        return f"target.runtime {config.target.runtime}"
    return None


def _check_method(config: TrialConfig) -> None:
    if config.method == "none":
        return
    method = method_of(config)
    if method.nni:
        demand_nni()
    if method.allocate == "latency" and config.macs_budget is None:
        demand_graph_timer(config.target)


def _check_losses(config: TrialConfig) -> None:
    losses = {"loss": config.loss, "finetune_loss": config.finetune_loss}
    if config.quantization == "int8-qat":
        losses["qat_loss"] = config.qat_loss
    for name, loss in losses.items():
        if loss is None:
            continue
        parse_loss(loss)
        if config.sampler != "pk":
            demand_relations(name, loss, config.batch_size)


def _check_qat_loss(loss: str) -> None:
    for term in parse_loss(loss):
        if not term.startswith("distill-") or term == "distill-logit":
            raise ConfigError(
                f"qat_loss {loss!r}: int8-qat learns from the float network's embeddings and has no classifier; "
                f"replace {term} by a distill- term such as distill-cosine"
            )
