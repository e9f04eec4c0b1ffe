"""Packages as the command line meets them: folders or zip files, opened on the runtime they are made for."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.config import Target
from reid.data.archive import ArchiveLimits, extract, pack
from reid.errors import ConfigError, DataError, UnverifiedError
from reid.export import InputSpec
from reid.files import read_json, sha256_of
from reid.runtime import model_file, open_artifact, runtime_of
from reid.runtime.openvino import IR_FILES
from reid.timing import Comparison, DeviceLock, compare
from results.reference import Embed

__all__ = ["compare_files", "embedder", "network_sha256", "package_target", "unpacked"]

_LIMITS = ArchiveLimits(total_bytes=4 * 10**9, entries=64)
_METRICS, _SPEC = "metrics.json", "input_spec.json"


@contextmanager
def unpacked(package: Path) -> Iterator[Path]:
    """The folder of a package; that of a zip file lies in a temporary place until the block ends.

    A zip file is packed again and compared, so that every byte of it counts, also those that unpacking overlooks.

    Raises:
        ConfigError: there is nothing of that name.
        UnverifiedError: the zip is damaged, unsafe, or not as `pick --zip` writes it.
    """
    if not package.exists():
        raise ConfigError(f"{package} does not exist; name the folder or zip file that pick made")
    if not package.is_file():
        yield package
        return
    with tempfile.TemporaryDirectory(prefix="reid-pareto-package-") as folder:
        content = Path(folder) / "content"
        try:
            extract(package, content, limits=_LIMITS)
        except DataError as error:
            raise UnverifiedError(f"{error}; get the package anew") from error
        entries = list(content.iterdir())
        if len(entries) != 1 or not entries[0].is_dir():
            raise UnverifiedError(f"{package} does not hold one folder; get the package anew")
        if any(path.is_dir() for path in entries[0].iterdir()):
            raise UnverifiedError(f"{package} holds folders within its folder; get the package anew")
        again = pack(entries[0], Path(folder) / "again.zip")
        if sha256_of(again) != sha256_of(package):
            raise UnverifiedError(
                f"{package} is not as pick --zip wrote it; get it anew, or unpack it and verify the folder"
            )
        yield entries[0]


def package_target(package: Path) -> Target:
    """What a package's folder, whose hashes were checked, is made for.

    Raises:
        UnverifiedError: its metrics.json names no target.
    """
    try:
        return Target.from_dict(_metrics(package)["target"])
    except (KeyError, ConfigError) as error:
        raise UnverifiedError(f"{package / _METRICS}: names no target; get the package anew") from error


def network_sha256(package: Path) -> str:
    """Hash of the ONNX file that is in a package's folder, or that its OpenVINO files were made from.

    Raises:
        UnverifiedError: the package does not tell.
    """
    file = model_file(package)
    if file.name != IR_FILES[0]:
        return sha256_of(file)
    try:
        return str(_metrics(package)["conversion"]["model_sha256"])
    except (KeyError, TypeError) as error:
        raise UnverifiedError(
            f"{package / _METRICS}: names no source of {file.name}; get the package anew"
        ) from error


def _metrics(package: Path) -> dict[str, Any]:
    path = package / _METRICS
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise UnverifiedError(f"cannot read {path}; get the package anew") from error
    if not isinstance(found, dict):
        raise UnverifiedError(f"{path} holds no figures; get the package anew")
    return found


def embedder(package: Path) -> Embed:
    """Embeds through a package's network, which is opened at the call: after the hashes were checked.

    It raises UnverifiedError where the specification in the folder is not that of the network.
    """

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        runtime = open_artifact(package, Target(runtime=runtime_of(package)))
        # Programs on the target read the file, the network was proved as itself says.
        if InputSpec.from_dict(read_json(package / _SPEC)) != runtime.spec:
            raise UnverifiedError(
                f"{package}: {_SPEC} is not the specification of the network beside it; get the package anew"
            )
        return runtime.embed(images)

    return embed


def compare_files(paths: Sequence[Path], targets: Sequence[Target]) -> Comparison:
    """Latencies of exported files, taken in turns with the device to themselves.

    Args:
        paths: files or folders as `open_artifact` takes them, at least one.
        targets: what each is opened on; all on the device, threads and cores of the first.

    Raises:
        NoDevice: a target cannot be used here.
        ArtifactError: a file cannot be opened.
    """
    target = targets[0]
    lock = DeviceLock(target.device)
    # Some runtimes compute for seconds while they open a file.
    with lock.shared():
        timers = [open_artifact(*pair).timer() for pair in zip(paths, targets, strict=True)]
    return compare(timers, lock=lock, threads=target.threads, affinity=target.affinity)
