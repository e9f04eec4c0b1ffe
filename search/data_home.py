"""Where the data of a command comes from when none is named."""

import hashlib
import json
import os
from pathlib import Path

from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.errors import ConfigError
from reid.files import user_cache

__all__ = ["data_or_synthetic", "home"]


def home() -> Path:
    """Folder of the generated datasets: $REID_PARETO_HOME, or reid-pareto in the user's cache."""
    given = os.environ.get("REID_PARETO_HOME")
    return Path(given) if given else user_cache()


def data_or_synthetic(data: Path | None, dataset: str) -> Path:
    """The dataset's folder; the synthetic one is generated on first use.

    Args:
        data: folder that the user named, or None.
        dataset: name of the dataset that is wanted.

    Raises:
        ConfigError: none was named, and the dataset is not the synthetic one.
        ResourceError: there is no room to generate it.
    """
    if data is not None:
        return data
    if dataset != "synthetic":
        raise ConfigError(
            f"--data is missing: prepare {dataset} with `reid-pareto data prepare` and name its folder"
        )
    options = SyntheticOptions()
    # Options that change with a version get a folder of their own instead of a clash.
    tag = hashlib.sha256(json.dumps(options.to_dict(), sort_keys=True).encode()).hexdigest()[:8]
    return prepare_synthetic(options, home() / f"synthetic-{tag}").root
