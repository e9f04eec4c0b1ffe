"""Values as people type them on the command line."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reid.config import Target
from reid.errors import ConfigError
from search.halving import HalvingSettings
from spaces import read_value

__all__ = ["change_target", "parse_halving", "parse_settings", "parse_size"]


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) out of "128x64".

    Raises:
        ConfigError: the text is not two whole numbers joined by "x".
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(f"input size must be HEIGHTxWIDTH such as 256x128, got {text!r}")
    return int(parts[0]), int(parts[1])


def change_target(target: Target, **options: Any) -> Target:
    """The target with what options of the command line, called like its settings, change.

    Raises:
        ConfigError: a value is out of range, or two do not go together; names the options.
    """
    try:
        return replace(target, **options)
    except ConfigError as error:
        raise ConfigError(str(error).replace("target.", "--")) from error


def parse_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Settings out of `name=value` texts; values are read as YAML, so 0.7, true and [128, 64] mean themselves.

    Raises:
        ConfigError: a text has no "=" or its value cannot be read.
    """
    settings = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set takes name=value, got {text!r}")
        try:
            settings[name.strip()] = read_value(value, f"--set {name.strip()}")
        except ConfigError as error:
            raise ConfigError(f"--set {name.strip()}: cannot read the value {value!r}") from error
    return settings


def parse_halving(scheduler: str, grace_epochs: int, eta: int) -> HalvingSettings | None:
    """How trials are stopped early, or None for scheduler "none".

    Raises:
        ConfigError: the scheduler is unknown, or a number is out of range.
    """
    if scheduler not in ("none", "asha"):
        raise ConfigError(f"--scheduler must be none or asha, got {scheduler!r}")
    settings = HalvingSettings(grace_epochs=grace_epochs, eta=eta)
    return settings if scheduler == "asha" else None
