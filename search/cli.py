"""The command line: which commands there are, and what becomes of an error."""

import logging
import sys

import typer

from reid.errors import ReidParetoError
from search.commands.add_timings import add_timings
from search.commands.bench import bench
from search.commands.data import data_app
from search.commands.demo import demo
from search.commands.doctor import doctor
from search.commands.evaluate import evaluate
from search.commands.export_target import export_target
from search.commands.front import front
from search.commands.pick import pick
from search.commands.report import report
from search.commands.review import review
from search.commands.search import search
from search.commands.simulate import simulate
from search.commands.status import status
from search.commands.train import train
from search.commands.trial import trial
from search.commands.verify import verify
from search.console import errors
from search.interrupt import INTERRUPTED

__all__ = ["app", "main"]

app = typer.Typer(
    name="reid-pareto",
    help="Compression search for person re-identification networks: an accuracy-latency front of real trials.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
for command in (
    demo, train, evaluate, trial, search, simulate, status, front, report, review, pick, verify, bench, add_timings,
    export_target, doctor,
):  # fmt: skip
    app.command()(command)


def main() -> None:
    """Run the command line; an error of ours becomes one line and its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except ReidParetoError as error:
        errors.print(f"error: {' '.join(str(error).split())}", style="red", markup=False)
        sys.exit(error.exit_code)
    except OSError as error:
        # A path of the user's that cannot be looked at, e.g. too long a name or a folder that is not ours.
        place = error.filename or "a file"
        errors.print(f"error: cannot use {place}: {error.strerror or error}", style="red", markup=False)
        sys.exit(ReidParetoError.exit_code)
    except KeyboardInterrupt:
        errors.print("interrupted; the same command resumes", markup=False)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
