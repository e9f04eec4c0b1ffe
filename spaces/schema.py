"""The schema of a space file; anything it does not name is an error."""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from reid.errors import ConfigError
from spaces.limits import LimitText, parse_limit

__all__ = ["Parameter", "Space", "parse_space"]


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"must be a number, a text, true, false or null, got {_short(value)}")


def _plain(value: Any) -> Any:
    return [_scalar(item) for item in value] if isinstance(value, list) else _scalar(value)


def _setting(value: Any) -> Any:
    # A loss may be written as its terms with their weights.
    if not isinstance(value, dict):
        return _plain(value)
    if not all(isinstance(name, str) for name in value):
        raise ValueError(f"must name each of its values by a text, got {_short(value)}")
    return {name: _scalar(item) for name, item in value.items()}


def _as_tuple(value: Any) -> Any:
    # The models are immutable, so lists become tuples; strict mode would refuse to do that by itself.
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list, got {_short(value)}")
    return tuple(value)


_Scalar = Annotated[Any, BeforeValidator(_scalar)]
_Value = Annotated[Any, BeforeValidator(_plain)]
_Setting = Annotated[Any, BeforeValidator(_setting)]
_List = BeforeValidator(_as_tuple)

_MODEL = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
_LARGEST_INT = 2**53


class Parameter(BaseModel):
    """One searched setting: exactly one of a float range, an integer range or a list of choices.

    Attributes:
        float_range: (lowest, highest), both included; key `float` in the file.
        int_range: (lowest, highest), both included; key `int` in the file.
        choice: the values, at least one, all different.
        log: draw the range on a logarithmic scale.
        when: setting -> value it must have for this parameter to be searched at all.
    """

    model_config = _MODEL

    float_range: Annotated[tuple[float, float] | None, _List] = Field(default=None, alias="float")
    int_range: Annotated[tuple[int, int] | None, _List] = Field(default=None, alias="int")
    choice: Annotated[tuple[_Value, ...] | None, _List] = Field(default=None)
    log: bool = False
    when: dict[str, _Scalar] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(kind is not None for kind in (self.float_range, self.int_range, self.choice)) != 1:
            raise ValueError("give exactly one of float: [low, high], int: [low, high] or choice: [...]")
        bounds = self.bounds
        if bounds is None:
            if self.log:
                raise ValueError("log applies to float and int, not to choice")
            texts = [json.dumps(value) for value in self.choice or ()]
            if not texts or len(set(texts)) != len(texts):
                raise ValueError("choice must list at least one value, and none twice")
            return self
        low, high = bounds
        if not low < high:
            raise ValueError(f"the range [{low}, {high}] is empty; the first number must be the smaller")
        if self.log and low <= 0:
            raise ValueError(f"log needs a range above 0, got {low}")
        if self.int_range is not None and max(abs(low), abs(high)) > _LARGEST_INT:
            raise ValueError("int takes numbers up to 2^53")
        return self

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range, or None for a list of choices."""
        return self.float_range if self.float_range is not None else self.int_range

    def contains(self, value: Any) -> bool:
        """Whether the parameter may take `value`."""
        if self.choice is not None:
            return json.dumps(value) in {json.dumps(known) for known in self.choice}
        wanted = (int, float) if self.float_range is not None else (int,)
        low, high = self.bounds or (0, 0)
        return isinstance(value, wanted) and not isinstance(value, bool) and low <= value <= high


class Space(BaseModel):
    """Everything a study may search and everything it holds fixed.

    Attributes:
        name: label of the space, shown in reports.
        dataset: name of the dataset it is meant for.
        fixed: settings that every trial shares.
        parameters: searched settings, by name.
        objectives: metric -> "maximize" or "minimize", in the order of the front's axes.
        limits: hard limits as text, see `spaces.parse_limit`.
        target: runtime and device on which latency is measured.
    """

    model_config = _MODEL

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    dataset: str = Field(min_length=1, max_length=100)
    fixed: dict[str, _Setting] = Field(default_factory=dict)
    parameters: dict[str, Parameter] = Field(min_length=1)
    objectives: dict[str, Literal["maximize", "minimize"]] = Field(min_length=2)
    limits: Annotated[tuple[str, ...], _List] = ()
    target: dict[str, _Value] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        twice = sorted(set(self.fixed) & set(self.parameters))
        if twice:
            raise ValueError(f"{twice[0]} stands in fixed and in parameters; keep one")
        for name, parameter in self.parameters.items():
            for other in parameter.when:
                if other not in self.fixed and other not in self.parameters:
                    raise ValueError(f"parameters.{name}.when names {other}, which is not in the space")
        self.in_order()
        self.parsed_limits()
        return self

    def parsed_limits(self) -> tuple[LimitText, ...]:
        """The limits, parsed."""
        return tuple(parse_limit(text) for text in self.limits)

    def in_order(self) -> tuple[str, ...]:
        """Names of the parameters, each after those that its `when` reads.

        Raises:
            ValueError: conditions refer to each other in a circle.
        """
        ordered: list[str] = []
        waiting = dict(self.parameters)
        while waiting:
            ready = [name for name, p in waiting.items() if not set(p.when) & set(waiting)]
            if not ready:
                raise ValueError(
                    f"the conditions of {', '.join(sorted(waiting))} refer to each other in a circle"
                )
            ordered += ready
            for name in ready:
                del waiting[name]
        return tuple(ordered)

    def active(self, name: str, chosen: Mapping[str, Any]) -> bool:
        """Whether parameter `name` is searched, given the values chosen so far."""
        known = {**self.fixed, **chosen}
        return all(
            other in known and json.dumps(known[other]) == json.dumps(value)
            for other, value in self.parameters[name].when.items()
        )

    def point(self, choose: Callable[[str], Any]) -> dict[str, Any]:
        """A point of the space, made of what `choose` gives each parameter that is searched there.

        Args:
            choose: asked by name, in the order of `in_order`; not for those whose `when` does not hold.
        """
        chosen: dict[str, Any] = {}
        for name in self.in_order():
            if self.active(name, chosen):
                chosen[name] = choose(name)
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values as a space file has them; `parse_space` gives the same space back."""
        plain: dict[str, Any] = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return plain


def parse_space(values: Any, source: str) -> Space:
    """Check the content of a space file.

    Args:
        values: what the file holds, as plain values.
        source: name of the file, for messages.

    Raises:
        ConfigError: one line that names the file, the key and, where one is near, the key that was meant.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{source}: a space file is a mapping of keys to values")
    try:
        return Space.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{source}: {_one_line(error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def _one_line(error: ValidationError) -> str:
    # An unknown key explains most of the other complaints, so it is told first.
    first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {place}{_hint(str(first['loc'][-1]), _known_keys(first['loc']))}"
    cause = first.get("ctx", {}).get("error")
    message = str(cause) if cause else first["msg"][0].lower() + first["msg"][1:]
    got = "" if cause or first["type"] == "missing" else f", got {_short(first['input'])}"
    return f"{place}: {message}{got}" if place else message


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Space if len(place) == 1 else Parameter
    return [field.alias or name for name, field in model.model_fields.items()]


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
