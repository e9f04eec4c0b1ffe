"""Checks that every name in a configuration is known, before any work begins."""

from reid.config import TrialConfig, reject_unknown
from reid.data import DATASETS
from reid.losses import parse_loss
from reid.models import BACKBONES
from reid.prune import METHODS
from reid.quantize import SCHEMES
from reid.runtime import RUNTIMES

__all__ = ["check_names"]


def check_names(config: TrialConfig) -> None:
    """Refuse unknown names.

    Raises:
        ConfigError: names the setting, the unknown name and the known ones.
    """
    reject_unknown([config.dataset], DATASETS, "dataset")
    reject_unknown([config.backbone], BACKBONES, "backbone")
    reject_unknown([config.method], METHODS, "method")
    reject_unknown([config.quantization], SCHEMES, "quantization")
    reject_unknown([config.target.runtime], RUNTIMES, "target.runtime")
    parse_loss(config.loss)
