"""Translation to Optuna and back."""

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces import Parameter
from spaces.distributions import decode, distribution, encode


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"float": [0.3, 0.9]}, optuna.distributions.FloatDistribution(0.3, 0.9)),
        ({"float": [1e-5, 1e-3], "log": True}, optuna.distributions.FloatDistribution(1e-5, 1e-3, log=True)),
        ({"int": [2, 5]}, optuna.distributions.IntDistribution(2, 5)),
        ({"choice": ["a", [1, 2]]}, optuna.distributions.CategoricalDistribution(['"a"', "[1, 2]"])),
    ],
)
def test_kinds(values: dict[str, Any], expected: optuna.distributions.BaseDistribution) -> None:
    assert distribution(Parameter.model_validate(values)) == expected


@given(
    st.lists(
        st.one_of(st.text(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
                  st.none(), st.lists(st.integers(), max_size=4)),
        min_size=1, max_size=8, unique_by=repr,
    )
)  # fmt: skip
def test_every_choice_survives_the_round_trip_with_its_type(choices: list[Any]) -> None:
    parameter = Parameter.model_validate({"choice": choices})
    asked = distribution(parameter)
    assert isinstance(asked, optuna.distributions.CategoricalDistribution)
    for value in choices:
        encoded = encode(parameter, value)
        assert encoded in asked.choices
        back = decode(parameter, encoded)
        assert back == value
        assert type(back) is type(value)


@given(st.integers(-50, 50), st.integers(1, 50), st.data())
def test_numbers_pass_through(low: int, width: int, data: st.DataObject) -> None:
    parameter = Parameter.model_validate({"int": [low, low + width]})
    value = data.draw(st.integers(low, low + width))
    assert decode(parameter, encode(parameter, value)) == value
    assert distribution(parameter)._contains(encode(parameter, value))
