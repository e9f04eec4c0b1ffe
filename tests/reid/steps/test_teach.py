import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reid.config import TrialConfig
from reid.data import parallel
from reid.errors import ConfigError
from reid.files import write_json
from reid.runtime.teacher import open_teacher
from reid.stages import NoCache
from reid.steps import embeddings
from reid.steps import teach as module
from reid.steps.teach import (
    DENSE,
    check_teacher,
    score_teacher,
    teach,
    teacher_parameters,
    watch,
)
from reid.steps.workshop import Workshop
from reid.train import normalise_batch
from tests.contract.deployment import SPEC
from tests.reid.runtime.teachers import channel_means
from tests.reid.steps.lessons import BASE, DISTILLED, Network, data_of, unit, workshop


def test_teaches_by_image_and_mirror_image_at_the_teachers_size(
    config: TrialConfig, root: Path, tmp_path: Path
) -> None:
    from reid.data import decode_images

    work = workshop(config, tmp_path / "cache")
    data = data_of(work, root)
    rows = teach(work, data)
    assert config.teacher is not None
    teacher = open_teacher(config.teacher)
    images = np.asarray(decode_images(data.train, (SPEC.height, SPEC.width), root).array)
    assert images.shape[1:3] != data.images.shape[1:3]
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    expected = unit(teacher.embed(images) + teacher.embed(mirrored))
    assert rows is not None
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert np.abs(rows - teacher.embed(images)).max() > 1e-3


def test_taught_once(config: TrialConfig, root: Path, tmp_path: Path) -> None:
    cache = NoCache(tmp_path / "cache")
    first, second = (Workshop(config, cache, lambda line: None) for _ in range(2))
    rows = [teach(work, data_of(work, root)) for work in (first, second)]
    np.testing.assert_array_equal(rows[0], rows[1])
    assert [work.stages[-1].cached for work in (first, second)] == [False, True]
    assert first.stages[-1].key == second.stages[-1].key


def test_an_interrupted_teacher_goes_on_where_it_was(
    config: TrialConfig, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "BATCH", 2)
    monkeypatch.setattr(embeddings, "_PART", 4)
    whole = teach(work := workshop(config, tmp_path / "whole"), data := data_of(work, root))
    seen: list[int] = []
    genuine = module.both_ways

    def counted(teacher: Any, images: np.ndarray) -> np.ndarray:
        if len(seen) == 3 and not resumed:
            raise KeyboardInterrupt
        seen.append(len(images))
        return genuine(teacher, images)

    monkeypatch.setattr(module, "both_ways", counted)
    work, resumed = workshop(config, tmp_path / "torn"), False
    with pytest.raises(KeyboardInterrupt):
        teach(work, data)
    resumed = True
    np.testing.assert_array_equal(teach(work, data), whole)
    # Three batches before the interruption, of which the first two made a part that was kept.
    assert sum(seen) == len(data.train) + 2
    folder = tmp_path / "torn" / work.stages[-1].key
    assert sorted(path.name for path in folder.iterdir()) == ["embeddings.npy", "readings.json"]


def test_every_batch_holds_the_device_shared(
    config: TrialConfig, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = workshop(config, tmp_path / "cache")
    data = data_of(work, root)
    genuine = module.both_ways

    def watched(teacher: Any, images: np.ndarray) -> np.ndarray:
        with pytest.raises(ConfigError, match="leave the shared lock"), work.lock.exclusive():
            pass
        return genuine(teacher, images)

    monkeypatch.setattr(module, "both_ways", watched)
    assert teach(work, data) is not None


def test_long_decoding_is_told(
    config: TrialConfig, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_CHUNK", 8)
    monkeypatch.setattr(parallel, "_SECONDS_A_LINE", 0.0)
    said: list[str] = []
    fresh = tmp_path / "fresh"
    shutil.copytree(root, fresh, ignore=shutil.ignore_patterns(".decoded"))
    work = workshop(config, tmp_path / "cache", said)
    data = data_of(work, fresh)
    line = f"decode: 8 of {len(data.train)} images"
    assert said.count(line) == 1
    teach(work, data)
    assert said.count(line) == 2, "at the teacher's size"


def test_the_dense_network_teaches_at_the_trials_size(root: Path, tmp_path: Path) -> None:
    config = replace(BASE, loss="softmax", finetune_loss=DISTILLED, teacher=DENSE)
    work, dense = workshop(config, tmp_path / "cache"), Network()
    data = data_of(work, root)
    assert teach(work, data, dense=dense) is None
    rows = teach(work, data, loss=DISTILLED, dense=dense)
    dense.model.eval()
    x = torch.from_numpy(np.array(data.images)).permute(0, 3, 1, 2).double().div(255)
    x = (x - torch.tensor(SPEC.mean).view(3, 1, 1)) / torch.tensor(SPEC.std).view(3, 1, 1)
    with torch.inference_mode():
        views = [dense.model(view.float()).numpy() for view in (x, x.flip(3))]
    np.testing.assert_allclose(rows, unit(unit(views[0]) + unit(views[1])), atol=1e-5)
    key = work.stages[-1].key
    teach(work, data, loss=DISTILLED, dense=Network("dense-2"))
    assert work.stages[-1].key != key


def test_without_a_term_nothing_is_computed(root: Path, tmp_path: Path) -> None:
    work = workshop(replace(BASE, loss="triplet+softmax"), tmp_path / "cache")
    data = data_of(work, root)
    before = list(work.stages)
    assert teach(work, data) is None
    assert work.stages == before


def test_the_key_follows_content_and_reading(config: TrialConfig, tmp_path: Path) -> None:
    model = channel_means(tmp_path / "net.onnx", shape=(3, 256, 128))
    foreign = replace(config, teacher=str(model), teacher_spec="omz")
    first = teacher_parameters(foreign)
    moved = tmp_path / "elsewhere.onnx"
    moved.write_bytes(model.read_bytes())
    assert teacher_parameters(replace(foreign, teacher=str(moved))) == first
    (tmp_path / "spec.json").write_text(
        '{"height": 256, "width": 128, "mean": [0,0,0], "std": [1,1,1], "embedding_dim": 3}'
    )
    assert teacher_parameters(replace(foreign, teacher_spec=str(tmp_path / "spec.json"))) != first
    channel_means(moved, outputs=("others",), shape=(3, 256, 128))
    assert teacher_parameters(replace(foreign, teacher=str(moved))) != first
    assert teacher_parameters(replace(config, teacher=None)) == {}
    assert teacher_parameters(replace(config, teacher=DENSE)) == {"teacher": DENSE}


def test_the_key_holds_the_options_of_a_runs_weights(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    config = replace(BASE, teacher=str(file), teacher_backbone="resnet18")
    plain = teacher_parameters(config)
    write_json(tmp_path / "config.json", TrialConfig(backbone="resnet18").to_dict())
    assert teacher_parameters(config) == plain
    write_json(tmp_path / "config.json", TrialConfig(backbone="resnet18", last_stride=1).to_dict())
    assert teacher_parameters(config) == plain | {"options": {"last_stride": 1}}
    said = replace(config, teacher_options={"pooling": "max"})
    assert teacher_parameters(said) == plain | {"options": {"last_stride": 1, "pooling": "max"}}
    assert teacher_parameters(replace(config, teacher_options={})) == teacher_parameters(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": None}, r"has distill- terms; set teacher to a file or to 'dense'"),
        ({"teacher": None, "loss": "softmax", "finetune_loss": DISTILLED}, "has distill- terms; set teacher"),
        (
            {"teacher": None, "loss": "softmax", "teacher_spec": "omz"},
            "teacher_spec describes a teacher; set teacher too",
        ),
        ({"loss": "softmax"}, "has nothing to teach: neither loss nor finetune_loss"),
        ({"teacher": "absent.onnx"}, r"teacher absent\.onnx does not exist"),
        ({"teacher_spec": "omx"}, "did you mean omz"),
        ({"teacher_backbone": "resnet18"}, "teacher_backbone is for state dicts"),
        ({"teacher": DENSE}, "the dense network cannot teach itself.*finetune_loss"),
        ({"teacher": DENSE, "teacher_spec": "omz"}, "teacher_spec is for files"),
        ({"teacher": DENSE, "teacher_options": {"ibn": True}}, "teacher_options is for files"),
        ({"teacher_options": {"ibn": True}}, "teacher_options is for state dicts"),
        (
            {"teacher": None, "loss": "softmax", "teacher_options": {}},
            "teacher_options describes a teacher; set teacher too",
        ),
        (
            {"teacher": None, "loss": "softmax", "teacher_view": "augmented"},
            "teacher_view augmented needs a teacher",
        ),
        ({"teacher_view": "augmented", "teacher": "absent.onnx"}, r"teacher absent\.onnx does not exist"),
        (
            {"loss": "distill-distance", "mixup": 0.5},
            "mixup 0.5 makes images .*; set teacher_view to augmented",
        ),
        ({"mixup": 0.5, "teacher_view": "augmented"}, "mixup blends .*: leave out softmax or set mixup to 0"),
        (
            {"loss": "distill-distance", "mixup": 0.5, "teacher_view": "drawn"},
            "mixup 0.5 makes images .*; set teacher_view to augmented",
        ),
        ({"teacher": None, "loss": "softmax", "teacher_view": "drawn"}, "teacher_view drawn needs a teacher"),
    ],
)
def test_refused_before_any_work(config: TrialConfig, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_teacher(replace(config, **change))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"loss": "softmax", "finetune_loss": DISTILLED},
        {"loss": "softmax", "teacher": None},
        {"loss": "softmax", "finetune_loss": DISTILLED, "teacher": DENSE},
        {"teacher_view": "augmented"},
        {"teacher_view": "augmented", "loss": "distill-distance", "mixup": 0.5},
        {"teacher_view": "drawn", "teacher_views": 2},
    ],
)
def test_accepted(config: TrialConfig, change: dict[str, Any]) -> None:
    check_teacher(replace(config, **change))


def test_nobody_to_teach_is_an_error_also_in_the_middle(root: Path, tmp_path: Path) -> None:
    for teacher in (None, DENSE):
        work = workshop(replace(BASE, teacher=teacher), tmp_path / "cache")
        with pytest.raises(ConfigError, match="nobody to teach"):
            teach(work, data_of(work, root))


def test_scored_as_its_specification_says(config: TrialConfig, root: Path) -> None:
    from reid.data import load_dataset

    assert config.teacher is not None
    dataset = load_dataset("synthetic", root)
    ranking = score_teacher(open_teacher(config.teacher), root, dataset.query, dataset.gallery)
    assert (ranking.num_queries, 0 < ranking.mAP <= 1) == (len(dataset.query), True)


def test_the_view_counts_only_where_it_is_not_plain(config: TrialConfig) -> None:
    plain, augmented = config, replace(config, teacher_view="augmented")
    assert "view" not in teacher_parameters(plain)
    assert teacher_parameters(augmented) == {**teacher_parameters(plain), "view": "augmented"}
    dense = replace(BASE, loss="softmax", finetune_loss=DISTILLED, teacher=DENSE, teacher_view="augmented")
    assert teacher_parameters(dense) == {"teacher": DENSE, "view": "augmented"}
    drawn = teacher_parameters(replace(config, teacher_view="drawn", teacher_views=3))["view"]
    assert drawn["drawn"] == 3
    assert {"seed", "pad_crop", "erasing"} < set(drawn)


def test_both_views_share_the_embeddings_of_plain_images(
    config: TrialConfig, root: Path, tmp_path: Path
) -> None:
    works = [
        Workshop(replace(config, teacher_view=view), NoCache(tmp_path / "cache"), lambda line: None)
        for view in ("plain", "augmented")
    ]
    for work in works:
        teach(work, data_of(work, root))
    assert [work.stages[-1].cached for work in works] == [False, True]


@pytest.mark.parametrize("teacher", ["file", DENSE])
def test_the_live_teacher_embeds_plain_batches_as_the_stage_does(
    config: TrialConfig, root: Path, tmp_path: Path, teacher: str
) -> None:
    name = config.teacher if teacher == "file" else DENSE
    config = replace(config, teacher=name, teacher_view="augmented", input_size=(SPEC.height, SPEC.width))
    work, dense = workshop(config, tmp_path / "cache"), Network()
    data = data_of(work, root)
    rows = teach(work, data, dense=dense)
    live = watch(config, data, DISTILLED, dense)
    assert live is not None
    assert rows is not None
    np.testing.assert_allclose(live(normalise_batch(data.images[:4])).numpy(), rows[:4], atol=1e-5)
    assert dense.model.training
    assert watch(replace(config, teacher_view="plain"), data, DISTILLED, dense) is None
    assert watch(config, data, "softmax", dense) is None
