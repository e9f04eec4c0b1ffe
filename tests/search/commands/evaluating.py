"""`reid-pareto evaluate`, called in this process."""

import typer
from typer.testing import CliRunner

from search.commands import evaluate as command

__all__ = ["APP", "call"]

APP = typer.Typer()
APP.command()(command.evaluate)


def call(*arguments: object) -> str:
    """Output of the command; an error of ours is raised, as `search.cli.main` gets it."""
    result = CliRunner().invoke(APP, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout
