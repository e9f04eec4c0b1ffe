"""What benchmarks of long runs share: the command line of this checkout, logs, and their own options."""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["command", "run_logged", "runs_parser"]


def command(*arguments: object) -> list[str]:
    """The command line of this checkout."""
    return [sys.executable, "-m", "search.cli", *map(str, arguments)]


def run_logged(call: list[str], out: Path) -> None:
    """Run a command that makes the folder `out`; the log of every attempt goes to OUT.log beside it."""
    with out.with_name(f"{out.name}.log").open("a") as log:
        subprocess.run(call, check=True, stdout=log, stderr=log)


def runs_parser(
    description: str | None, names: Iterable[str], further: Iterable[str] = ()
) -> argparse.ArgumentParser:
    """Options of a benchmark that makes a folder of each of `names` below RUNS, with data and a teacher.

    Those of `further` are made when they are asked for.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True, help="person-reidentification-retail-0277.xml")
    parser.add_argument("--only", nargs="+", choices=[*names, *further], default=list(names))
    return parser
