"""Reads a space file written by anybody: a small, plain subset of YAML and nothing that costs time or memory."""

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from reid.errors import ConfigError
from spaces.schema import Space, parse_space

__all__ = ["load", "preset_names", "read_value"]

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 12
# One event per scalar, key and bracket; the largest honest space file has a few hundred. PyYAML reads about
# 50 000 a second, so that this bound is also the bound on the time spent.
_MAX_EVENTS = 20_000


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader that refuses keys given twice and reads 1e-4 as the number it is (YAML 1.2)."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a plain text", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def preset_names() -> tuple[str, ...]:
    """Names of the spaces shipped with the project."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in _presets() if entry.name.endswith(".yaml"))
    )


def load(name_or_path: str | Path) -> Space:
    """Load a space by the name of a preset or the path of a file.

    Args:
        name_or_path: e.g. "demo", or a path; what ends in .yaml or .yml or holds a slash is a path.

    Raises:
        ConfigError: no such preset or file, or the file is not a space; one line.
    """
    text = str(name_or_path)
    if "/" not in text and not text.endswith((".yaml", ".yml")):
        if text not in preset_names():
            raise ConfigError(
                f"no space named {text!r}; shipped are {', '.join(preset_names())}, or give the path of a .yaml file"
            )
        source = resources.files("spaces") / "presets" / f"{text}.yaml"
        return parse_space(_parse(source.read_bytes(), text), text)
    return parse_space(_parse(_read(Path(text)), text), text)


def _presets() -> Iterator[Any]:
    return (resources.files("spaces") / "presets").iterdir()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the space file {path}: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than {_MAX_BYTES} bytes; a space file is a page of text")
    return content


def read_value(text: str, source: str) -> Any:
    """A single value, read as in a space file: 0.7, 1e-4, true and [128, 64] mean themselves.

    Raises:
        ConfigError: it cannot be read; names `source`.
    """
    try:
        content = text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{source} is not UTF-8 text") from None
    return _parse(content, source)


def _parse(content: bytes, source: str) -> Any:
    try:
        text = content.decode()
        _check_events(text, source)
        return yaml.load(text, Loader=_PlainLoader)
    except UnicodeDecodeError:
        raise ConfigError(f"{source} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: {_where(error)}") from None
    except ValueError as error:
        # Python refuses integers of more than 4300 digits, dates such as 2020-99-99 and the like.
        raise ConfigError(f"{source}: {error}") from None


def _check_events(text: str, source: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if (
            isinstance(event, yaml.AliasEvent)
            or getattr(event, "anchor", None)
            or getattr(event, "tag", None)
        ):
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise ConfigError(
                f"{source}, line {line}: anchors, aliases and tags are not allowed in a space file"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{source} is nested deeper than {_MAX_DEPTH} levels")
        if count > _MAX_EVENTS:
            raise ConfigError(f"{source} holds more than {_MAX_EVENTS} keys and values")


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return f"line {mark.line + 1}: {problem}" if mark else problem
