"""`reid-pareto verify`: is this package what was packed?"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from reid.config import Target
from reid.runtime import open_artifact
from results.verify import verify as check
from search.console import out as console
from search.console import print_json

__all__ = ["verify"]


def verify(
    package: Annotated[Path, typer.Argument(help="Folder that pick made.")],
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check every file of a package against its hash, then its embeddings against the stored ones.

    Nothing is opened before its hash is right. A difference ends with exit code 6.

    Example: reid-pareto verify packages/door-camera
    """

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return open_artifact(package, Target()).embed(images)

    found = check(package, embed)
    if json:
        print_json({"package": str(package), "files": found.files, "min_cosine": found.min_cosine})
        return
    console.print(
        f"{package} is as it was packed: {len(found.files)} files, "
        f"smallest cosine to the stored embeddings {found.min_cosine:.6f}",
        markup=False,
    )
