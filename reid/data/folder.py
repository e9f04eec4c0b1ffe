"""A folder that appears under its name complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from reid.errors import ConfigError, ResourceError
from reid.files import remove_tree

__all__ = ["building"]


@contextmanager
def building(target: Path) -> Iterator[Path]:
    """Fill a temporary folder beside `target` that becomes `target` when the block ends well.

    Beside it, so that the last step is a rename on one filesystem. Whatever goes wrong inside the block, the
    temporary folder is removed and `target` is as it was.

    Args:
        target: absent, or an empty folder.

    Yields:
        The temporary folder, empty.

    Raises:
        ConfigError: `target` is a file or a folder that holds something.
        ResourceError: the disk is full, read-only or not permitted.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} exists and is not empty; name another folder or delete it")
    work = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
    try:
        work.mkdir(parents=True)
        yield work
        os.replace(work, target)
    except OSError as error:
        raise ResourceError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        remove_tree(work)
