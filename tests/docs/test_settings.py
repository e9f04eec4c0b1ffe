"""docs/settings.md lists every setting with its default, and its values are those that the code takes."""

import dataclasses
import math
import re
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from reid.config import Target, TrialConfig
from reid.data import DATASETS
from reid.errors import ConfigError
from reid.losses import LOSSES
from reid.models import BACKBONES, network_options
from reid.models.options import HEAD_NAMES, POOLING_NAMES
from reid.prune import METHODS
from reid.quantize import SCHEMES
from reid.runtime import RUNTIMES
from reid.train.sampler import SAMPLERS
from search.planner import FOOTPRINT_METRICS, METRICS, check_space
from spaces import Space, parse_space, read_value
from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "settings.md"
ROWS = {
    name: (default.strip(), values.strip())
    for name, default, values in re.findall(
        r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|[^|]*\|$", PAGE.read_text().split("## Settings\n")[1], re.MULTILINE
    )
}
FIELDS = {field.name: field for owner in (TrialConfig, Target) for field in dataclasses.fields(owner)}
REGISTRIES: dict[str, Collection[str]] = {
    "dataset": DATASETS, "backbone": BACKBONES, "method": METHODS, "quantization": SCHEMES,
    "runtime": RUNTIMES, "head": HEAD_NAMES, "pooling": POOLING_NAMES,
}  # fmt: skip
BESIDE: dict[str, dict[str, Any]] = {
    "latency_budget": {"allocate": "latency"}, "macs_budget": {"allocate": "latency"},
    "zero_epochs": {"prune_epochs": 2000}, "patience": {"validate_every": 1}, "keep": {"validate_every": 1},
    "parts": {"head": "pcb"}, "drop_branches": {"head": "pcb"},
}  # fmt: skip
"""What a setting needs so that nothing but its own range decides."""

_SMALL = 1e-6
_NUMBER = r"(-?[\d.]+)"


def accepted(name: str, value: Any) -> bool:
    if name == "schedule" and value == "step":
        return accepted("milestones", [1])
    beside = {"schedule": "step"} if name == "milestones" else BESIDE.get(name, {})
    try:
        if name in TrialConfig.names():
            network_options(TrialConfig.from_dict({**beside, name: value}))
        else:
            Target.from_dict({name: value})
    except ConfigError:
        return False
    return True


def edges(text: str, kind: type) -> Iterator[tuple[Any, bool]]:
    """Values around the ends of a range, and whether they belong to it; whole numbers where `kind` is int."""
    step = 1 if kind is int else _SMALL
    if match := re.fullmatch(rf"{_NUMBER} to {_NUMBER}", text):
        low, high = map(kind, match.groups())
        yield from ((low, True), (high, True), (low - step, False), (high + step, False))
    elif match := re.fullmatch(rf"{_NUMBER} (≤|<) x (≤|<) {_NUMBER}", text):
        low, high = kind(match[1]), kind(match[4])
        yield from (
            (low, match[2] == "≤"),
            (high, match[3] == "≤"),
            (low - step, False),
            (high + step, False),
        )
        yield (low + high) / 2, True
    elif match := re.fullmatch(rf"(≥|>) {_NUMBER}", text):
        low = kind(match[2])
        yield from ((low, match[1] == "≥"), (low - step, False), (low + step, True), (low + 1000, True))


def default_of(name: str) -> Any:
    default = FIELDS[name].default
    return None if default is dataclasses.MISSING or default == () else default


def test_every_setting_has_its_row() -> None:
    assert sorted(ROWS) == sorted(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_defaults_are_those_of_the_code(name: str) -> None:
    shown = ROWS[name][0].strip("`")
    default = default_of(name)
    if default is None:
        assert shown == ""
    else:
        assert read_value(shown, name) == (list(default) if isinstance(default, tuple) else default)


@pytest.mark.parametrize("name", FIELDS)
def test_values_are_those_that_the_code_takes(name: str) -> None:
    text = ROWS[name][1]
    ends = list(edges(text, int if "int" in str(FIELDS[name].type) else float))
    for value, belongs in ends:
        assert accepted(name, value) == belongs, value
    if ends:
        return
    listed = re.findall(r"`([^`]+)`", text)
    if re.fullmatch(r"(`[^`]+`(, )?)+", text):
        if name in REGISTRIES:
            assert sorted(listed) == sorted(REGISTRIES[name])
        else:
            assert all(accepted(name, read_value(value, name)) for value in listed)
            choices = getattr(FIELDS[name].type, "__args__", None)
            if choices and all(isinstance(value, str) for value in choices):
                assert listed == list(choices)
            assert not any(accepted(name, value) for value in ("nonsense", 3))


def test_sizes_and_lists() -> None:
    low, high = (read_value(text, "size") for text in ROWS["input_size"][1].split(" to "))
    beyond = ([low[0] - 1, low[1]], [low[0], low[1] - 1], [high[0] + 1, high[1]], [high[0], high[1] + 1])
    assert all(accepted("input_size", size) for size in (low, high))
    assert not any(accepted("input_size", size) for size in beyond)
    assert accepted("milestones", [1, 2])
    assert not any(accepted("milestones", epochs) for epochs in ([0], [2, 1]))
    assert not any(accepted("max_quantization_drop", drop) for drop in (math.nan, math.inf))


def test_the_space_of_the_page_is_one_and_its_keys_and_figures_are_all() -> None:
    (block,) = [block for block in blocks(PAGE) if block.language == "yaml"]
    check_space(parse_space(read_value(block.text, "settings.md"), "settings.md"))
    text = PAGE.read_text()
    keys = re.findall(r"^\| `(\w+)` \|", text.split("## A space file\n")[1].split("```")[0], re.MULTILINE)
    assert keys == list(Space.model_fields)
    figures = re.findall(r"`(\w+)`", text.split("**Figures**")[1].split("\n\n")[0])
    assert set(figures) == {*METRICS, *FOOTPRINT_METRICS}


def test_every_loss_sampler_and_head_stands_in_a_command() -> None:
    text = "\n".join(
        block.text
        for page in (ROOT / "docs").glob("*.md")
        for block in blocks(page)
        if block.language == "sh"
    )
    named = set(re.findall(r"[a-z][a-z0-9-]*", text))
    usual = {TrialConfig().sampler, TrialConfig().head}
    assert {*LOSSES, *SAMPLERS, *HEAD_NAMES} - usual - named == set()
