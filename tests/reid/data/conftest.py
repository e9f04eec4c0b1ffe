"""A small generated dataset that the tests of this room share; they must not change it."""

from pathlib import Path

import pytest

from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions

SMALL = SyntheticOptions(identities=6, test_identities=3, images_per_camera=2, cameras=3, seed=5)


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_synthetic(SMALL, tmp_path_factory.mktemp("data") / "small").root
