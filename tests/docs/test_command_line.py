"""docs/command-line.md lists every exit code of the command line and every variable of ours that the program reads."""

import re

import reid.errors
from search.interrupt import INTERRUPTED
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "command-line.md").read_text()
ROOMS = ("reid", "spaces", "results", "search")
BY_PYTHON = {0, 1}
"""Success, and an exception that nobody caught."""


def first_column(heading: str) -> list[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)[1:]


def test_every_exit_code_has_its_row() -> None:
    classes = [getattr(reid.errors, name) for name in reid.errors.__all__]
    codes = {INTERRUPTED, *BY_PYTHON, *(found.exit_code for found in classes)}
    assert [int(cell) for cell in first_column("Exit codes")] == sorted(codes)


def test_every_variable_of_ours_has_its_row() -> None:
    sources = [path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    read = {name for text in sources for name in re.findall(r'"(REID_PARETO_\w+)"', text)}
    rows = {name for cell in first_column("Environment variables") for name in re.findall(r"`(\w+)`", cell)}
    assert {name for name in rows if name.startswith("REID_PARETO_")} == read
    foreign = {name for text in sources for name in re.findall(r'environ[^"\n]{1,12}"([A-Z_]+)"', text)}
    set_by_us = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"}
    assert foreign - set_by_us <= rows
