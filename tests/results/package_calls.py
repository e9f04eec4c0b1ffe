"""The commands about packages, called by name, and the network that they find in a study."""

from pathlib import Path

import onnx
import typer
from click.testing import Result
from typer.testing import CliRunner

from reid.export.metadata import write_metadata
from reid.export.spec import InputSpec
from reid.files import read_json
from search.commands.bench import bench
from search.commands.export_target import export_target
from search.commands.pick import pick
from search.commands.report import report
from search.commands.review import review
from search.commands.verify import verify

__all__ = ["call", "described"]

_APP = typer.Typer()
for _command in (pick, verify, report, bench, export_target, review):
    _APP.command()(_command)


def call(*arguments: object) -> Result:
    """A command, by its name and arguments."""
    return CliRunner().invoke(_APP, [str(argument) for argument in arguments], catch_exceptions=True)


def described(network: Path) -> Path:
    """A folder whose network has got its input specification inside, as an export leaves it."""
    path = network / "model.onnx"
    model = onnx.load(path)
    write_metadata(model, InputSpec.from_dict(read_json(network / "input_spec.json")), "fp32")
    onnx.save(model, path)
    return network
