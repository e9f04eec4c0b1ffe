"""Variants of the training images that a teacher embeds before the training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reid.config import TrialConfig
from reid.runtime.teacher import open_teacher
from reid.stages import NoCache
from reid.steps import embeddings
from reid.steps import teach as module
from reid.steps.teach import (
    DENSE,
    teach,
    teach_by_network,
)
from reid.steps.workshop import Workshop
from reid.train import embed
from reid.train.augment import vary_pixels
from reid.train.variants import drawn_variants
from tests.contract.deployment import SPEC
from tests.reid.steps.lessons import BASE, Network, data_of, unit, workshop


def test_drawn_variants_are_embedded_at_the_teachers_size(
    config: TrialConfig, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reid.data import decode_images

    monkeypatch.setattr(embeddings, "_PART", 5)
    config = replace(config, teacher_view="drawn", teacher_views=3, colour_jitter=0.2)
    work = workshop(config, tmp_path / "cache")
    data = data_of(work, root)
    rows = teach(work, data)
    assert rows is not None
    assert rows.shape == (len(data.train), 3, SPEC.embedding_dim)
    assert config.teacher is not None
    images = decode_images(data.train, (SPEC.height, SPEC.width), root).array
    plain = torch.from_numpy(np.repeat(np.asarray(images), 3, axis=0))
    variants = drawn_variants(len(images), 3, (SPEC.height, SPEC.width), config)
    varied = vary_pixels(plain, variants, config).numpy()
    np.testing.assert_allclose(
        rows.reshape(len(varied), -1), open_teacher(config.teacher).embed(varied), atol=1e-6
    )


def test_interrupted_variants_go_on_where_they_were(
    config: TrialConfig, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "_PART", 6)
    config = replace(config, teacher_view="drawn", teacher_views=2)
    data = data_of(work := workshop(config, tmp_path / "whole"), root)
    whole = teach(work, data)
    genuine, asked, resumed = module.drawn_embedder, [0], False

    def torn(*arguments: Any) -> Any:
        rows = genuine(*arguments)

        def counted(part: slice) -> np.ndarray:
            if asked[0] == 4 and not resumed:
                raise KeyboardInterrupt
            asked[0] += 1
            return rows(part)

        return counted

    monkeypatch.setattr(module, "drawn_embedder", torn)
    monkeypatch.setattr(embeddings, "BATCH", 2)
    with pytest.raises(KeyboardInterrupt):
        teach(work := workshop(config, tmp_path / "torn"), data)
    resumed = True
    np.testing.assert_array_equal(teach(work, data), whole)
    # One image at a time, three to a part: the fourth was computed twice.
    assert asked[0] == len(data.train) + 1


def test_drawn_variants_are_shared_by_students_of_every_size(
    config: TrialConfig, root: Path, tmp_path: Path
) -> None:
    cache, config = NoCache(tmp_path / "cache"), replace(config, teacher_view="drawn")
    changes: list[dict[str, Any]] = [
        {}, {"input_size": (32, 32)}, {"flip": 0.0}, {"teacher_views": 2}, {"erasing": 0.1}, {"seed": 1},
        {"teacher_view": "plain"},
    ]  # fmt: skip
    cached = []
    for change in changes:
        work = Workshop(replace(config, **change), cache, lambda line: None)
        teach(work, data_of(work, root))
        cached.append(work.stages[-1].cached)
    assert cached == [False, True, True, False, False, False, False]


@pytest.mark.parametrize("view", ["plain", "upright", "drawn"])
def test_the_dense_network_teaches_by_each_view(root: Path, tmp_path: Path, view: Any) -> None:
    work, dense = workshop(replace(BASE, teacher=DENSE, teacher_views=2), tmp_path / "cache"), Network()
    data = data_of(work, root)
    rows = teach_by_network(work, data, dense, view=view)
    if view == "drawn":
        variants = drawn_variants(len(data.images), 2, work.config.input_size, work.config)
        plain = torch.from_numpy(np.repeat(data.images, 2, axis=0))
        expected = unit(embed(dense.model, vary_pixels(plain, variants, work.config).numpy()))
        expected = expected.reshape(rows.shape)
    else:
        expected = unit(embed(dense.model, data.images))
    if view == "plain":
        expected = unit(expected + unit(embed(dense.model, data.images[:, :, ::-1])))
    np.testing.assert_allclose(rows, expected, atol=1e-5)
