"""Check a package: its files against the manifest, then its network against the embeddings it carries."""

from dataclasses import dataclass
from pathlib import Path

from reid.errors import UnverifiedError
from results.package import PROGRAM, program
from results.package_manifest import check_package
from results.reference import Embed, compare_reference

__all__ = ["MIN_COSINE", "Verification", "verify"]

MIN_COSINE = 0.9999


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked and found right.

    Attributes:
        package: the folder.
        files: names of the files whose hashes agree.
        min_cosine: smallest cosine to the stored embeddings, or None when no network was run.
        program_known: its embed.py is the one that this version writes. The manifest proves that a package is
            whole, not who made it: an unknown program should be read before it is run.
    """

    package: Path
    files: tuple[str, ...]
    min_cosine: float | None
    program_known: bool


def verify(package: Path, embed: Embed | None = None) -> Verification:
    """Check the hashes of a package and, given a way to run its network, the embeddings.

    Args:
        package: folder that `build_package` made.
        embed: (N, H, W, 3) uint8 RGB -> (N, D) float32 through the package's network; it is called after
            all hashes agree, so that it may open the file lazily and never opens an altered one.

    Raises:
        UnverifiedError: a file is missing, additional or changed, or an embedding differs by more than
            a cosine of 0.9999.
    """
    files = check_package(package)
    known = PROGRAM in files and (package / PROGRAM).read_bytes() == program()
    if embed is None:
        return Verification(package=package, files=files, min_cosine=None, program_known=known)
    cosine = compare_reference(package / "reference.json", embed)
    if not cosine >= MIN_COSINE:
        raise UnverifiedError(
            f"{package}: embeddings differ from the stored ones (cosine {cosine:.6f}, at least {MIN_COSINE} "
            "is asked); this runtime or device computes something else"
        )
    return Verification(package=package, files=files, min_cosine=cosine, program_known=known)
