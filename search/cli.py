"""The command line: which commands there are, and what becomes of an error."""

import logging
import sys
from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from reid.errors import ReidParetoError
from search.console import errors
from search.interrupt import INTERRUPTED

__all__ = ["COMMANDS", "app", "main"]

COMMANDS = {
    "demo": "Search, report, pick and verify on generated pedestrians; run it again to resume.",
    "data": "Prepare a dataset or look into a prepared one.",
    "train": "Train a dense network, export it, evaluate it on held-out identities and time it.",
    "evaluate": "Embed query and gallery with the file itself and rank them: mAP and CMC, protocol stated.",
    "trial": "Train, prune, slim, finetune, quantize, export, evaluate and time one configuration.",
    "search": "Search a space for the accuracy-latency front; the same command resumes an interrupted study.",
    "simulate": "Run a search against a table of real trials, in virtual time: how its hypervolume grows.",
    "status": "Say how far a study is: trials by outcome, front, baseline, failures, cost.",
    "front": "List the trials that no other beats in all objectives at once.",
    "report": "Write a self-contained page to choose a trial on, the front as a picture, or both.",
    "review": "Serve the report on this machine, updated as trials are committed, with buttons that make packages.",
    "pick": "Choose a trial and package it: within a latency the most accurate, within an accuracy the fastest.",
    "verify": "Check every file of a package against its hash, then its embeddings against the stored ones.",
    "bench": "Time packages on this machine in turns, with the device to themselves, and compare each with the first.",
    "add-timings": "Merge latencies that `bench --json` took on another machine into a study, as facts.",
    "retime": "Time every network of a study again on this machine, in turns, and let these latencies count.",
    "export-target": "Convert the network of a package for another runtime, prove it and pack it anew.",
    "doctor": "Say which devices, runtimes and int8 instructions this machine has, and whether its timing lock works.",
}
"""What each command does, in a line; `search.commands.<name>` holds it as a function or an app called <name>."""

_LONGEST = 20_000
_RESUMABLE = ("demo", "search", "train", "trial")


class _Commands(TyperGroup):
    """The commands; each is imported when it is called, so that none waits for the libraries of another."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the arguments name, imported."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else _imported(name), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C becomes one line, where typer would end the program without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            hint = "; the same command resumes" if ctx.invoked_subcommand in _RESUMABLE else ""
            errors.print(f"interrupted{hint}", markup=False)
            raise typer.Exit(INTERRUPTED) from None


def _imported(name: str) -> Any:
    identifier = name.replace("-", "_")
    found = getattr(import_module(f"search.commands.{identifier}"), identifier)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(name)(found)
        found = single
    return typer.main.get_command(found)


app = typer.Typer(
    name="reid-pareto",
    cls=_Commands,
    help="Compression search for person re-identification networks: an accuracy-latency front of real trials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, line in COMMANDS.items():
    app.command(name, help=line)(lambda: None)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"reid-pareto {metadata.version('reid-pareto')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the command line; an error of ours becomes one line and its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except ReidParetoError as error:
        _tell(str(error))
        sys.exit(error.exit_code)
    except OSError as error:
        # A path of the user's that cannot be looked at, e.g. too long a name or a folder that is not ours.
        _tell(f"cannot use {error.filename or 'a file'}: {error.strerror or error}")
        sys.exit(ReidParetoError.exit_code)


def _tell(problem: str) -> None:
    from results.record import one_line  # here, as help is to be there at once

    errors.print(f"error: {one_line(problem, _LONGEST)}", style="red", markup=False)


if __name__ == "__main__":
    main()
