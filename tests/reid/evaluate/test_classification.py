"""The classifier judged on images of its own identities: against torch, and with classifiers that do not fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reid.config import TrialConfig
from reid.data import ReIDDataset, Sample, decode_images, load_dataset, split_validation
from reid.data.prepare import prepare_synthetic
from reid.data.synthetic import SyntheticOptions
from reid.errors import ConfigError
from reid.evaluate.classification import classify, one_image_per_identity
from reid.evaluate.classifier import classify_run, classify_weights
from reid.files import write_json
from reid.models import ReIDNetwork, build
from reid.train import normalise_batch

SIZE = (64, 32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ReIDDataset:
    root = tmp_path_factory.mktemp("data") / "synthetic"
    prepare_synthetic(SyntheticOptions(identities=10, test_identities=2, images_per_camera=2), root)
    return load_dataset("synthetic", root)


@pytest.fixture(scope="module")
def network() -> ReIDNetwork:
    torch.manual_seed(0)
    return build("osnet_x0_25", 10)


def logits(model: ReIDNetwork, images: np.ndarray) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        out: torch.Tensor = model.classifier(model(normalise_batch(images)))
    return out


def test_one_image_of_each_identity_whatever_the_order() -> None:
    samples = [Sample(Path(f"{i:03}.jpg"), i % 7, 1) for i in range(70)]
    chosen = one_image_per_identity(samples, 3)
    assert sorted(sample.person_id for sample in chosen) == list(range(7))
    assert set(chosen) == set(one_image_per_identity(samples[::-1], 3))
    assert set(chosen) != set(one_image_per_identity(samples, 4))


def test_accuracy_is_that_of_the_logits(network: ReIDNetwork) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, *SIZE, 3), dtype=np.uint8)
    order = logits(network, images).argsort(dim=1, descending=True).numpy()
    classes = order[:, 0].copy()
    classes[:4] = order[:4, 4]
    classes[4] = order[4, 9]
    result = classify(network, images, classes, protocol="p", batch=4)
    assert (result.accuracy, result.accuracy_top5) == pytest.approx((4 / 9, 8 / 9))
    assert (result.images, result.identities, result.protocol) == (9, 10, "p")


def test_several_classifiers_vote() -> None:
    torch.manual_seed(0)
    model = build("resnet18", 6, head="pcb", parts=2)
    images = np.random.default_rng(1).integers(0, 256, (5, *SIZE, 3), dtype=np.uint8)
    parts = logits(model, images)
    assert parts.shape[1] > 1
    voted = parts.log_softmax(-1).mean(1).argmax(1).numpy()
    assert classify(model, images, voted, protocol="").accuracy == 1


def test_images_and_classes_must_fit(network: ReIDNetwork) -> None:
    with pytest.raises(ConfigError, match="got 2 for 1 images"):
        classify(network, np.zeros((1, *SIZE, 3), np.uint8), np.array([0, 1]), protocol="")


def test_a_state_dict_is_judged_on_the_identities_that_its_classifier_knows(
    dataset: ReIDDataset, tmp_path: Path
) -> None:
    for share, trained_on in ((0.3, dataset.train), (0.2, split_validation(dataset, 0.2, 1).train)):
        known = sorted({sample.person_id for sample in trained_on})
        torch.manual_seed(1)
        model = build("osnet_x0_25", len(known))
        weights = tmp_path / f"{share}.pth"
        torch.save(model.state_dict(), weights)
        result = classify_weights(weights, "osnet_x0_25", SIZE, {}, dataset, validation_share=share, seed=1)
        chosen = one_image_per_identity(trained_on, 1)
        images = decode_images(chosen, SIZE, dataset.root).array
        guessed = [known[i] for i in logits(model, images).argmax(1).tolist()]
        right = [guess == sample.person_id for guess, sample in zip(guessed, chosen, strict=True)]
        assert result.accuracy == pytest.approx(np.mean(right))
        assert result.images == result.identities == len(known)
        assert f"one image of each of {len(known)} training identities" in result.protocol
        assert "not recorded" in result.protocol


def test_a_classifier_that_does_not_fit_is_refused(dataset: ReIDDataset, tmp_path: Path) -> None:
    state = build("osnet_x0_25", 5).state_dict()
    torch.save(state, tmp_path / "five.pth")
    torch.save({k: v for k, v in state.items() if "classifier" not in k}, tmp_path / "none.pth")
    for name, said in (("five", "has a classifier of 5 identities"), ("none", "holds no classifier")):
        with pytest.raises(ConfigError, match=f"{said}.* has 10 or 8 training identities"):
            classify_weights(
                tmp_path / f"{name}.pth", "osnet_x0_25", SIZE, {}, dataset, validation_share=0.2, seed=0
            )


def test_classes_are_judged_on_images_that_no_validation_could_use(
    dataset: ReIDDataset, tmp_path: Path
) -> None:
    one = replace(dataset, train=tuple(sample._replace(camera_id=1) for sample in dataset.train))
    torch.save(build("osnet_x0_25", 10).state_dict(), tmp_path / "all.pth")
    torch.save(build("osnet_x0_25", 9).state_dict(), tmp_path / "other.pth")

    def judge(name: str) -> int:
        return classify_weights(
            tmp_path / name, "osnet_x0_25", SIZE, {}, one, validation_share=0.2, seed=0
        ).identities

    assert judge("all.pth") == 10
    with pytest.raises(ConfigError, match=r"classifier of 9 identities.* has 10 training identities"):
        judge("other.pth")


def test_a_classifier_of_which_a_part_has_no_place_is_refused(dataset: ReIDDataset, tmp_path: Path) -> None:
    state = build("resnet18", 10).state_dict() | {"classifier.bias": torch.ones(10)}
    torch.save(state, tmp_path / "biased.pth")
    with pytest.raises(
        ConfigError, match=r"biased.pth holds classifier.bias, which the network has no place"
    ):
        classify_weights(tmp_path / "biased.pth", "resnet18", SIZE, {}, dataset, validation_share=0.2, seed=0)


def test_a_run_is_judged_by_its_own_settings(dataset: ReIDDataset, tmp_path: Path) -> None:
    config = TrialConfig(
        backbone="osnet_x0_25", input_size=SIZE, validation_share=0.4, seed=3, method="none", prune_rate=0.0
    )
    write_json(tmp_path / "config.json", config.to_dict())
    known = len({sample.person_id for sample in split_validation(dataset, 0.4, 3).train})
    save_file(build("osnet_x0_25", known).state_dict(), tmp_path / "model.safetensors")
    result = classify_run(tmp_path, dataset)
    assert result.identities == known == 6
    assert "the training saw them" in result.protocol
    save_file(build("osnet_x0_25", known + 1).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match="knows 7 identities"):
        classify_run(tmp_path, dataset)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="an exported file has no classifier"):
        classify_run(tmp_path, dataset)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"loss": "distill-similarity+15*distill-embedding"},
            "by distill-similarity.*which leaves the classifier as it was",
        ),
        (
            {"loss": "arcface+triplet", "finetune_loss": "circle"},
            "by arcface.triplet and circle, which leaves",
        ),
        ({"method": "none", "loss": "triplet", "finetune_loss": "softmax"}, "by triplet, .* softmax, focal"),
        ({"method": "none", "epochs": 0}, "was not trained"),
        ({"dataset": "market1501"}, "was trained on market1501; .* holds synthetic"),
    ],
)
def test_a_classifier_that_learned_nothing_of_these_people_is_refused(
    change: dict[str, Any], named: str, dataset: ReIDDataset, tmp_path: Path
) -> None:
    write_json(tmp_path / "config.json", TrialConfig(backbone="osnet_x0_25", **change).to_dict())
    save_file(build("osnet_x0_25", 10).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match=named):
        classify_run(tmp_path, dataset)
