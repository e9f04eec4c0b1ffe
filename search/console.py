"""Where the command line speaks: people on standard error and output, programs as one JSON document."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["accuracy", "errors", "out", "print_json", "print_table", "progress_line"]

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


def accuracy(values: Mapping[str, Any]) -> str:
    """The figures of retrieval in one line; both definitions of average precision are named."""
    return (
        f"mAP {values['mAP']:.4f} (trapezoid {values['mAP_trapezoid']:.4f})  "
        f"rank-1 {values['rank1']:.4f}  rank-5 {values['rank5']:.4f}  rank-10 {values['rank10']:.4f}"
    )


def progress_line(line: str) -> None:
    """Tell a person one step of the work."""
    errors.print(line, markup=False, style="dim")
