"""What tests of several commands are given."""

from pathlib import Path

import pytest

from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "synthetic"
    prepare_synthetic(SyntheticOptions(identities=4, test_identities=5, images_per_camera=2), root)
    return root
