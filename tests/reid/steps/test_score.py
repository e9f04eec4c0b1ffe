"""Accuracy of a file is computed beside timings of other processes, which it must not disturb."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reid.config import Target
from reid.data import load_dataset
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.evaluate.retrieval import Retrieval
from reid.runtime.onnxruntime import OnnxRuntime
from reid.steps import score
from tests.contract.deployment import tiny_artifact


class Held:
    """Stands for the device lock and notes what is done while it is held, and while it is not."""

    depth = 0

    def __init__(self, *_: object, **__: object) -> None:
        pass

    @contextmanager
    def shared(self) -> Iterator[None]:
        Held.depth += 1
        yield
        Held.depth -= 1


def test_opening_embedding_and_ranking_hold_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = SyntheticOptions(identities=4, test_identities=3, cameras=2, images_per_camera=2)
    prepare_synthetic(options, tmp_path / "data")
    dataset = load_dataset("synthetic", tmp_path / "data")
    artifact = tiny_artifact(tmp_path)
    seen: dict[str, set[bool]] = {}

    def noted(name: str, function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            seen.setdefault(name, set()).add(Held.depth > 0)
            return function(*arguments, **named)

        return call

    monkeypatch.setattr(score, "DeviceLock", Held)
    monkeypatch.setattr(OnnxRuntime, "embed", noted("embed", OnnxRuntime.embed))
    monkeypatch.setattr(Retrieval, "ranking", noted("rank", Retrieval.ranking))
    monkeypatch.setattr(score, "open_file", noted("open", score.open_file))
    ranking = score.score_file(artifact.path, Target(), dataset.root, dataset.query, dataset.gallery)
    assert ranking.num_queries == len(dataset.query)
    assert seen == {"open": {True}, "embed": {True}, "rank": {True}}
    assert Held.depth == 0
