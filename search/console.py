"""Where the command line speaks: people on standard error and output, programs as one JSON document."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["errors", "out", "print_json", "print_table", "progress_line"]

# Rich takes a pipe for 80 columns and would squeeze a table; a file may be wide.
_FILE_COLUMNS = 240

out = Console(highlight=False, soft_wrap=True)
"""Answers, on standard output."""

errors = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress and errors, on standard error, so that `--json` and `--csv` stay clean."""


def print_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_table(table: Table) -> None:
    """Print a table to standard output; what does not fit its column goes on in the next line, nothing is cut."""
    for column in table.columns:
        column.overflow = "fold"
    screen = out if out.is_terminal else Console(width=_FILE_COLUMNS)
    screen.print(table)


def progress_line(line: str) -> None:
    """Tell a person one step of the work."""
    errors.print(line, markup=False, style="dim")
