"""Where the command line speaks: people on standard error and output, programs as one JSON document."""

import json
from typing import Any

from rich.console import Console

__all__ = ["errors", "out", "print_json", "progress_line"]

out = Console(highlight=False, soft_wrap=True)
"""Answers, on standard output."""

errors = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress and errors, on standard error, so that `--json` and `--csv` stay clean."""


def print_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    print(json.dumps(value, indent=2, allow_nan=False))


def progress_line(line: str) -> None:
    """Tell a person one step of the work."""
    errors.print(line, markup=False, style="dim")
