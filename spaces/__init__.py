"""What may be searched: the schema of a space file, the shipped presets, the translation to Optuna."""

from spaces.limits import LimitText, parse_limit
from spaces.load import load, preset_names, read_value
from spaces.schema import Parameter, Space, parse_space

__all__ = [
    "LimitText",
    "Parameter",
    "Space",
    "load",
    "parse_limit",
    "parse_space",
    "preset_names",
    "read_value",
]
