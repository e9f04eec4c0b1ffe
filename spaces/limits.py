"""Limits of a study as a person writes them: absolute, or relative to the dense baseline."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reid.errors import ConfigError

__all__ = ["LimitText", "parse_limit"]

_NUMBER = r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?"
_LIMIT = re.compile(
    rf"""\s*(?P<metric>[A-Za-z_]\w*)\s*(?P<operator><=|>=)\s*
    (?:
        (?P<constant>-?(?:{_NUMBER}))
      | (?:(?P<factor>{_NUMBER})\s*\*\s*)? baseline
        (?:\s*(?P<sign>[+-])\s*(?P<offset>{_NUMBER}))?
    )\s*""",
    re.VERBOSE,
)
_EXAMPLES = '"latency_ms <= 8", "mAP >= baseline - 0.10" or "latency_ms <= 0.5 * baseline"'


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitText:
    """A parsed limit; its value is `factor * baseline + offset`.

    Attributes:
        text: as the space file has it.
        metric: name of the limited figure, e.g. "latency_ms".
        operator: "<=" or ">=".
        factor: weight of the baseline's figure; 0 for an absolute limit.
        offset: added to it, in the metric's unit.
    """

    text: str
    metric: str
    operator: Literal["<=", ">="]
    factor: float
    offset: float

    @property
    def relative(self) -> bool:
        """Whether the value depends on the baseline."""
        return self.factor != 0

    def resolve(self, baseline: Mapping[str, float]) -> tuple[str, Literal["<=", ">="], float]:
        """The limit in absolute terms.

        Args:
            baseline: figures of the dense baseline by metric name.

        Returns:
            (metric, operator, value), the value in the metric's unit.

        Raises:
            ConfigError: the limit is relative and the baseline lacks the metric.
        """
        if not self.relative:
            return self.metric, self.operator, self.offset
        if self.metric not in baseline:
            raise ConfigError(
                f"limit {self.text!r}: the baseline has no {self.metric!r}; it has {', '.join(sorted(baseline))}"
            )
        value = self.factor * baseline[self.metric] + self.offset
        # 0.8 - 0.1 must not refuse a trial with 0.7, nor rounding one that equals the baseline.
        widest = max if self.operator == "<=" else min
        return self.metric, self.operator, widest(value, float(f"{value:.13g}"))


def parse_limit(text: str) -> LimitText:
    """Read one limit.

    Args:
        text: `METRIC <= VALUE` or `METRIC >= VALUE`, VALUE being a number or
            `[NUMBER *] baseline [+ NUMBER | - NUMBER]`.

    Raises:
        ConfigError: the text is none of these; shows examples.
    """
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise ConfigError(f"limit {text!r} is not understood; write it like {_EXAMPLES}")
    constant = match["constant"]
    factor = 0.0 if constant is not None else float(match["factor"] or 1)
    if constant is None and factor == 0:
        raise ConfigError(f"limit {text!r} multiplies the baseline by 0; write the number alone")
    offset = float(constant if constant is not None else f"{match['sign'] or ''}{match['offset'] or 0}")
    operator: Literal["<=", ">="] = "<=" if match["operator"] == "<=" else ">="
    return LimitText(
        text=text.strip(), metric=match["metric"], operator=operator, factor=factor, offset=offset
    )
