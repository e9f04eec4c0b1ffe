"""`reid-pareto export-target`: a package for another runtime."""

import shlex
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from reid.config import Target, reject_unknown
from reid.errors import ConfigError
from reid.export import MODEL_FILE
from reid.files import write_atomic
from reid.runtime import open_artifact, runtime_of
from reid.runtime.convert import CONVERTERS, check_conversion, convert, runtime_for
from results.converted import build_converted
from results.package import demand_new
from results.reference import reference_images
from results.verify import verify
from search.console import out as console
from search.console import print_json
from search.packages import embedder, unpacked

__all__ = ["export_target"]

_IMAGES = 32
_SEED = 2


def export_target(
    package: Annotated[Path, typer.Argument(help="Folder or zip file that pick made.")],
    target: Annotated[str, typer.Option(help=f"What to export to: {', '.join(CONVERTERS)}.")],
    out: Annotated[Path, typer.Option(help="Folder to make; it must not exist.")],
    fp16: Annotated[
        bool, typer.Option("--fp16", help="Keep float weights as fp16, half their size.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Convert the network of a package for another runtime, prove it and pack it anew.

    Embeddings of generated images must agree with the source's: cosine 0.999 for float, 0.99 for int8. Accuracy
    and latency are not measured; compare with bench. The file of onnxruntime-pixels takes uint8 pixels and normalises,
    mirrors and adds by itself, for programs that are no Python.

    Example: reid-pareto export-target packages/door-camera --target openvino --out packages/door-camera-openvino
    """
    reject_unknown([target], CONVERTERS, "--target")
    demand_new(out)
    with unpacked(package) as folder:
        verify(folder, embedder(folder))
        if runtime_of(folder) != "onnxruntime":
            raise ConfigError(
                f"{package} is made for {runtime_of(folder)}; export from the ONNX package it came from"
            )
        cosine = _export(folder, target, out, half=fp16)
    if json:
        print_json({"package": str(out), "target": target, "half": fp16, "min_cosine": cosine})
        return
    console.print(f"package: {out}, for {target}; smallest cosine to the source {cosine:.6f}", markup=False)
    both = shlex.join(map(str, (package, out)))
    console.print(f"compare their speed with: reid-pareto bench {both}", markup=False)


def _export(folder: Path, target: str, out: Path, *, half: bool) -> float:
    files = convert(folder / MODEL_FILE, target, half=half)
    runtime = runtime_for(target)
    # Not on the package's own target: its GPU or its cores may be another machine's.
    source = open_artifact(folder, Target())
    images = reference_images(_SEED, _IMAGES, source.spec.height, source.spec.width)
    with tempfile.TemporaryDirectory(prefix="reid-pareto-export-") as work:
        for name, content in files.items():
            write_atomic(Path(work) / name, content)
        converted = open_artifact(Path(work), Target(runtime=runtime))
        cosine = check_conversion(source, converted, images)
        conversion = {
            "from": "onnxruntime",
            "to": target,
            "half": half,
            "min_cosine": cosine,
            "images": _IMAGES,
        }
        build_converted(folder, out, files, runtime=runtime, conversion=conversion, embed=converted.embed)
    return cosine
