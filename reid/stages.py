"""What a stage of a trial is to the cache: a name, a version, its parameters and the keys of its inputs."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

__all__ = ["NoCache", "StageCache", "stage_key"]


class StageCache(Protocol):
    """Keeps the folders that stages produce, by content."""

    def get_or_compute(self, key: str, compute: Callable[[Path], None]) -> tuple[Path, bool]:
        """The folder of stage `key`, computed at most once at a time.

        Args:
            key: from `stage_key`.
            compute: fills a work folder; the same work folder is handed out again after a crash, so that
                what it holds (epoch checkpoints) is continued.

        Returns:
            The committed folder, to be read only, and whether it was there already.
        """
        ...


class NoCache:
    """Computes every stage anew below one folder; for a single trial and for tests."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(tempfile.mkdtemp(prefix="reid-pareto-"))

    def get_or_compute(self, key: str, compute: Callable[[Path], None]) -> tuple[Path, bool]:
        """Compute into `root/key` unless this object did so before."""
        folder = self.root / key
        if folder.is_dir():
            return folder, True
        work = self.root / f"{key}.work"
        work.mkdir(parents=True, exist_ok=True)
        compute(work)
        shutil.move(work, folder)
        return folder, False


def stage_key(name: str, version: int, parameters: Mapping[str, Any], inputs: tuple[str, ...] = ()) -> str:
    """Content key `name-<32 hex>` of a stage.

    Args:
        name: of the stage, letters only.
        version: raised whenever the code of the stage changes its result.
        parameters: JSON values that matter to the stage, and no others.
        inputs: keys of the stages or data that it reads.
    """
    text = json.dumps([name, version, dict(parameters), list(inputs)], sort_keys=True, allow_nan=False)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
