"""Translation of parameters to Optuna's distributions and of Optuna's values back."""

import json
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from spaces.schema import Parameter

__all__ = ["decode", "distribution", "encode"]


def distribution(parameter: Parameter) -> BaseDistribution:
    """Optuna's distribution of a parameter; choices are categories named by their JSON text."""
    if parameter.float_range is not None:
        return FloatDistribution(*parameter.float_range, log=parameter.log)
    if parameter.int_range is not None:
        return IntDistribution(*parameter.int_range, log=parameter.log)
    return CategoricalDistribution([json.dumps(value) for value in parameter.choice or ()])


def encode(parameter: Parameter, value: Any) -> Any:
    """What Optuna calls `value`: lists and all other choices by their JSON text."""
    if parameter.choice is not None:
        return json.dumps(value)
    return float(value) if parameter.float_range is not None else int(value)


def decode(parameter: Parameter, value: Any) -> Any:
    """The value that Optuna calls `value`; undoes `encode`."""
    return json.loads(value) if parameter.choice is not None else value
