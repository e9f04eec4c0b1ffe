"""Every `python -m benchmarks…` of the README and of docs/ is one that its program's parser takes; none is run."""

import argparse
import importlib.util
import inspect
import re
import shlex
import sys
from typing import Any, NoReturn

import pytest

from tests.docs.blocks import DOCUMENTS, ROOT, Command, blocks, commands

_START = "python -m benchmarks"
_ELLIPSIS = ("...", "…")


class ParsedError(Exception):
    """Raised where a program would begin its work."""


def quoted() -> list[Command]:
    """The commands in blocks and between backticks; those that leave something out are no commands."""
    found = []
    for document in DOCUMENTS:
        found += [
            command
            for block in blocks(document)
            for command in commands(block)
            if command.text.startswith(_START)
        ]
        text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        found += [
            Command(place=str(document.relative_to(ROOT)), text=" ".join(match.split()))
            for match in re.findall(rf"`({_START}[^`]*)`", text)
        ]
    return [command for command in found if not any(mark in command.text for mark in _ELLIPSIS)]


COMMANDS = {command.text: command for command in quoted()}


@pytest.fixture(autouse=True)
def parsing_is_all(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = argparse.ArgumentParser.parse_args

    def parse_args(parser: argparse.ArgumentParser, *arguments: Any) -> NoReturn:
        whole(parser, *arguments)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)


@pytest.mark.parametrize("text", COMMANDS)
def test_the_parser_takes_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, *arguments = shlex.split(text)[2:]
    if importlib.util.find_spec(module).submodule_search_locations:  # type: ignore[union-attr]
        module += ".__main__"
    program = importlib.import_module(module)
    if ".parse_args(" not in inspect.getsource(program):
        assert not arguments, f"{COMMANDS[text].place}: {module} takes no arguments"
        return
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(ParsedError):
        program.main()
