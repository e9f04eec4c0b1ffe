"""`reid-pareto verify`: is this package what was packed?"""

from pathlib import Path
from typing import Annotated

import typer

from results.verify import verify as check
from search.console import out as console
from search.console import print_json
from search.packages import embedder, unpacked

__all__ = ["verify"]


def verify(
    package: Annotated[Path, typer.Argument(help="Folder or zip file that pick made.")],
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check every file of a package against its hash, then its embeddings against the stored ones.

    Nothing is opened before its hash is right. A difference ends with exit code 6.

    Example: reid-pareto verify packages/door-camera
    """
    with unpacked(package) as folder:
        found = check(folder, embedder(folder))
    if json:
        facts = {"files": found.files, "min_cosine": found.min_cosine, "program_known": found.program_known}
        print_json({"package": str(package), **facts})
        return
    console.print(
        f"{package} is as it was packed: {len(found.files)} files, "
        f"smallest cosine to the stored embeddings {found.min_cosine:.6f}",
        markup=False,
    )
    if not found.program_known:
        console.print("its embed.py is not that of this version: read it before you run it", markup=False)
