"""Data and configuration of the tests of a teacher's stage."""

from dataclasses import replace
from pathlib import Path

import pytest

from reid.config import TrialConfig
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from tests.contract.deployment import tiny_artifact
from tests.reid.steps.lessons import BASE


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = SyntheticOptions(identities=6, test_identities=3, images_per_camera=2, cameras=3, seed=5)
    return prepare_synthetic(options, tmp_path_factory.mktemp("data") / "small").root


@pytest.fixture
def config(tmp_path: Path) -> TrialConfig:
    (tmp_path / "package").mkdir()
    tiny_artifact(tmp_path / "package")
    return replace(BASE, teacher=str(tmp_path / "package"))
