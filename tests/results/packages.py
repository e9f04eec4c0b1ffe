"""A study whose one trial holds a small network with all that ours have, so that every target takes it."""

import json
from pathlib import Path

from results import Study, commit, commit_artifact
from tests.contract.deployment import tiny_artifact
from tests.results.conftest import trial
from tests.results.samples import make_study

__all__ = ["convertible_study"]


def convertible_study(folder: Path) -> Study:
    """Trial 0 of `folder/study`."""
    files = folder / "network"
    files.mkdir()
    artifact = tiny_artifact(files)
    (files / "input_spec.json").write_text(json.dumps(artifact.spec.to_dict()))
    study = make_study(folder, limits=[])
    commit_artifact(study, 0, files)
    commit(study, trial(0, 0.8, 3.0, artifact="artifacts/000000"))
    return study
