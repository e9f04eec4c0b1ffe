"""A package whose network was converted for another runtime."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.errors import UnverifiedError
from reid.files import read_json, sha256_of, write_atomic, write_json
from results.package import PROGRAM, assemble, program, requirements, without_places
from results.package_manifest import check_package
from results.reason import join
from results.reference import Embed, write_reference

__all__ = ["build_converted"]

_SCHEMA = 1
_KEPT = ("input_spec.json", "reproduce.yaml")


def build_converted(
    source: Path,
    out: Path,
    files: Mapping[str, bytes],
    *,
    runtime: str,
    conversion: Mapping[str, Any],
    embed: Embed,
) -> Path:
    """Write a package with a converted network, all at once.

    Input specification, reproduction and card are those of the source; metrics.json keeps the source's figures under
    "source", because neither accuracy nor latency was measured of the new file. The reference embeddings are new.

    Args:
        source: package with the ONNX network; its hashes are checked.
        out: folder to make; it must not exist.
        files: name -> content of the converted network.
        runtime: name of the runtime that opens them.
        conversion: what was done and proved, plain values.
        embed: (N, H, W, 3) uint8 RGB -> (N, D) float32 through the converted network.

    Returns:
        `out`.

    Raises:
        ConfigError: `out` exists.
        UnverifiedError: the source is altered or no package.
        ArtifactError: the network gives no usable embeddings.
        ResourceError: the folder cannot be written; nothing is left behind.
    """
    check_package(source)

    def fill(work: Path) -> None:
        for name, content in files.items():
            write_atomic(work / name, content)
        for name in _KEPT:
            write_atomic(work / name, (source / name).read_bytes())
        write_json(work / "metrics.json", _metrics(source, runtime, conversion))
        write_atomic(work / "model_card.md", _card(source, files, runtime, conversion))
        spec = read_json(source / "input_spec.json")
        write_reference(work / "reference.json", (int(spec["height"]), int(spec["width"])), embed)
        write_atomic(work / PROGRAM, program())
        write_atomic(work / "requirements.txt", requirements(runtime))

    return assemble(out, fill)


def _metrics(source: Path, runtime: str, conversion: Mapping[str, Any]) -> dict[str, Any]:
    figures = read_json(source / "metrics.json")
    if not isinstance(figures, dict) or not isinstance(figures.get("target"), dict):
        raise UnverifiedError(f"{source / 'metrics.json'}: names no target; get the package anew")
    return {
        "schema": _SCHEMA,
        "target": {**figures["target"], "runtime": runtime, "device": "cpu"},
        "conversion": {**conversion, "model_sha256": sha256_of(source / "model.onnx")},
        # Packages of earlier versions may name a host.
        "source": without_places(figures),
    }


def _card(source: Path, files: Mapping[str, bytes], runtime: str, conversion: Mapping[str, Any]) -> str:
    target = conversion.get("to", runtime)
    title, _, rest = (source / "model_card.md").read_text(encoding="utf-8").partition("\n")
    names = " and ".join(f"`{name}`" for name in sorted(files, reverse=True))
    rest = rest.replace("| `model.onnx` |", f"| {names} |")
    needed = join(line.partition(">=")[0] for line in requirements(runtime).splitlines())
    halved = " Weights are kept as fp16." if conversion.get("half") else ""
    return f"""{title}

**Converted for {target}.** {names} stand in place of `model.onnx`.{halved} Smallest
cosine to the source's embeddings: {conversion["min_cosine"]:.6f} over {conversion["images"]} generated images.
Accuracy, latency and size below are those of the source: measure anew with `reid-pareto bench SOURCE THIS`.
`embed.py` needs {needed}.
{rest}"""
