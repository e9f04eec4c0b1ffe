import json
import os
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import yaml
from PIL import Image

import spaces
from reid.config import TrialConfig
from reid.errors import ArtifactError, ConfigError, ResourceError, UnverifiedError
from results import Study, commit, commit_artifact, commit_fact
from results.converted import build_converted
from results.package import build_package, figures_on_test, requirements
from results.package_manifest import write_package_manifest
from results.reference import reference_images
from results.verify import verify
from tests.results.conftest import HOME, SIZE, Embed, embedder, trial, write_network

FILES = {
    "embed.py",
    "input_spec.json",
    "manifest.json",
    "metrics.json",
    "model.onnx",
    "model_card.md",
    "reference.json",
    "reproduce.yaml",
    "requirements.txt",
}


def test_package_is_whole_and_verifies(package: Path, network: Path) -> None:
    assert {path.name for path in package.iterdir()} == FILES
    assert (package / "model.onnx").read_bytes() == (network / "model.onnx").read_bytes()
    report = verify(package, embedder(package / "model.onnx"))
    assert set(report.files) == FILES - {"manifest.json"}
    assert report.min_cosine == pytest.approx(1.0, abs=1e-6)
    assert verify(package).min_cosine is None


def test_same_trial_gives_the_same_bytes(study: Study, tmp_path: Path, embed: Embed, package: Path) -> None:
    again = build_package(study, study.record(5), tmp_path / "again", embed=embed)
    assert all((again / name).read_bytes() == (package / name).read_bytes() for name in FILES)


def test_nothing_of_the_machine_gets_in(package: Path, study: Study, tmp_path: Path) -> None:
    told = [HOME, str(tmp_path), str(study.path), "node-1", study.definition["dataset"]["fingerprint"]]
    for path in package.iterdir():
        content = path.read_bytes()
        assert not [text for text in told if text.encode() in content], path.name
        if path.suffix in (".json", ".md", ".yaml"):
            assert not re.search(r"(?<![\w.~}])/(home|root|tmp|work|usr|Users)\b", content.decode()), (
                path.name
            )


def test_a_converted_package_of_an_earlier_version_names_no_host(
    package: Path, tmp_path: Path, embed: Embed
) -> None:
    metrics = json.loads((package / "metrics.json").read_text())
    told = {**metrics["checks"], "retimed": {"host": "node-1", "timed_at": "2026-11-27"}}
    (package / "metrics.json").write_text(json.dumps({**metrics, "checks": told}))
    reseal(package)
    made = build_converted(
        package,
        tmp_path / "converted",
        {"model.xml": b"<net/>"},
        runtime="openvino",
        conversion={"to": "openvino", "half": False, "min_cosine": 1.0, "images": 32},
        embed=embed,
    )
    source = json.loads((made / "metrics.json").read_text())["source"]
    assert source == {**metrics, "checks": {**told, "retimed": {"timed_at": "2026-11-27"}}}


def test_metrics_tell_how_they_were_measured(package: Path, study: Study) -> None:
    metrics = json.loads((package / "metrics.json").read_text())
    record = study.record(5)
    assert metrics["validation"] == record.metrics
    assert metrics["baseline_validation"]["mAP"] == 0.84
    assert metrics["protocol"] == record.protocol
    assert metrics["target"] == {"batch": 1, "device": "cpu", "runtime": "onnxruntime", "threads": 1}
    assert metrics["device"] == "cpu"
    assert metrics["test"] is None


def test_test_split_figures_are_passed_on(study: Study, tmp_path: Path, embed: Embed) -> None:
    commit_fact(study, 5, "test", {"metrics": {"mAP": 0.711, "rank1": 0.832}, "protocol": "test split"})
    package = build_package(study, study.record(5), tmp_path / "package", embed=embed)
    assert json.loads((package / "metrics.json").read_text())["test"]["metrics"]["mAP"] == 0.711
    assert "| this network, test split | 71.1 % | 83.2 % |" in (package / "model_card.md").read_text()


def test_test_figures_stand_beside_those_of_the_baseline(study: Study, tmp_path: Path, embed: Embed) -> None:
    # Plain figures, as a benchmark commits them, and figures with their protocol, as a pick does.
    commit_fact(study, 5, "test", {"metrics": {"mAP": 0.711, "rank1": 0.832}, "queries": 3368})
    commit_fact(study, -1, "test", {"mAP": 0.801, "rank1": 0.9})
    card = (build_package(study, study.record(5), tmp_path / "p", embed=embed) / "model_card.md").read_text()
    assert "| this network, test split | 71.1 % | 83.2 % |" in card
    assert "| dense fp32 baseline, test split | 80.1 % | 90.0 % |" in card
    assert figures_on_test({"metrics": {"mAP": 0.5}, "queries": 7}) == {"mAP": 0.5}
    assert figures_on_test({"mAP": 0.5, "protocol": "x", "rerank": False}) == {"mAP": 0.5}
    assert figures_on_test(None) == {}


def test_requirements_are_what_the_program_imports(package: Path) -> None:
    def named(text: str) -> list[str]:
        return [line.split(">=")[0] for line in text.splitlines()]

    assert named((package / "requirements.txt").read_text()) == ["onnxruntime", "numpy", "pillow"]
    # Found by export: executorch does not bring torch, which both branches of the program import.
    assert named(requirements("executorch")) == ["executorch", "torch", "numpy", "pillow"]
    assert named(requirements("torchscript-qnnpack")) == ["torch", "numpy", "pillow"]


def test_pictures_may_be_named_in_any_script_wherever_the_program_runs(package: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    names = [b"zo\xc3\xab.png", b"zo\xeb.png"]
    for name in names:
        Image.fromarray(reference_images(1, 1, 9, 5)[0]).save(pictures / os.fsdecode(name))
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, package / "embed.py", pictures, tmp_path / "found.npy"]
    for environment in (dict(os.environ), plain):
        subprocess.run(command, check=True, env=environment)
        assert sorted((tmp_path / "found.txt").read_bytes().splitlines()) == sorted(names)


def test_card_says_what_it_is_and_what_not(package: Path) -> None:
    card = (package / "model_card.md").read_text()
    assert "| this network, validation | 74.0 % | 84.0 % |" in card
    assert "| dense fp32 baseline, validation | 84.0 % | 94.0 % |" in card
    assert "Latency, median: 3.00 ms (p10 to p90: 2.91 to 3.18 ms)" in card
    assert "Device: cpu; batch 1, device cpu, runtime onnxruntime, threads 1" in card
    assert "ask the authors before any other use" in card
    assert "started from resnet18.pth" in card
    assert "$" not in card


def test_reproduction_is_a_space_with_that_one_point(package: Path, study: Study) -> None:
    space = spaces.load(package / "reproduce.yaml")
    record = study.record(5)
    assert {name: parameter.choice for name, parameter in space.parameters.items()} == {
        name: (value,) for name, value in record.params.items()
    }
    searched = {name: parameter.choice[0] for name, parameter in space.parameters.items() if parameter.choice}
    config = TrialConfig.from_dict(
        {**space.fixed, **searched, "dataset": space.dataset, "target": space.target}
    )
    assert config.to_dict() == {**record.config, "weights": "resnet18.pth"}
    text = (package / "reproduce.yaml").read_text()
    assert "--space reproduce.yaml --data DATA --set prune_rate=0.55 --set quantization=int8-static" in text
    assert "put the path of your copy there" in text
    yaml.safe_load(text)


def test_a_teacher_is_named_and_its_path_is_not(
    study: Study, tmp_path: Path, network: Path, embed: Embed
) -> None:
    for number, teacher, weights in ((20, f"{HOME}/teachers/0277.xml", "imagenet"), (21, "dense", None)):
        commit_artifact(study, number, network)
        taught = trial(number, 0.5, 1.0)
        taught.config.update(teacher=teacher, weights=weights)
        commit(study, taught)
        package = build_package(study, study.record(number), tmp_path / f"package-{number}", embed=embed)
        name = Path(teacher).name
        assert f"distilled from teacher {name}" in (package / "model_card.md").read_text()
        text = (package / "reproduce.yaml").read_text()
        assert ("fixed.teacher is a file name only" in text) == (name != teacher)
        assert "fixed.weights is a file name only" not in text


def test_hostile_names_stay_text(study: Study, tmp_path: Path, network: Path, embed: Embed) -> None:
    commit_artifact(study, 20, network)
    hostile = trial(20, 0.5, 1.0)
    hostile.config["backbone"] = "<script>alert(1)</script>[x](javascript:y)\n# `heading`"
    commit(study, hostile)
    package = build_package(study, study.record(20), tmp_path / "package", embed=embed)
    card = (package / "model_card.md").read_text()
    assert "<script>" not in card
    assert r"\[x\](javascript:y) \# \`heading\`" in card
    assert "\n# `heading`" not in card


def test_target_folder_must_be_new(study: Study, package: Path, embed: Embed) -> None:
    before = (package / "manifest.json").read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        build_package(study, study.record(3), package, embed=embed)
    assert (package / "manifest.json").read_bytes() == before


def test_trial_without_artifact(study: Study, tmp_path: Path, embed: Embed) -> None:
    with pytest.raises(ConfigError, match="trial 6 kept no artifact"):
        build_package(study, study.record(6), tmp_path / "package", embed=embed)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_altered_artifact_is_refused_before_it_is_opened(study: Study, tmp_path: Path, damage: str) -> None:
    model = study.artifact(5) / "model.onnx"
    content = model.read_bytes()
    if damage == "remove":
        model.unlink()
    else:
        model.write_bytes(
            content[:-1] if damage == "cut" else content[:99] + bytes([content[99] ^ 1]) + content[100:]
        )

    def opened(_: object) -> None:
        raise AssertionError("an altered artifact was opened")

    with pytest.raises(UnverifiedError, match=r"model\.onnx") as caught:
        build_package(study, study.record(5), tmp_path / "package", embed=opened)  # type: ignore[arg-type]
    assert caught.value.exit_code == 6
    assert not (tmp_path / "package").exists()


def test_failure_leaves_nothing_behind(study: Study, tmp_path: Path, embed: Embed) -> None:
    folder = tmp_path / "deliveries"
    folder.mkdir()
    with pytest.raises(ArtifactError, match="no finite"):
        build_package(study, study.record(5), folder / "p", embed=lambda images: embed(images) * float("nan"))
    with pytest.raises(ArtifactError, match="zero embedding"):
        build_package(study, study.record(5), folder / "p", embed=lambda images: embed(images) * 0)
    assert list(folder.iterdir()) == []
    (folder / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write"):
        build_package(study, study.record(5), folder / "file" / "p", embed=embed)
    assert [path.name for path in folder.iterdir()] == ["file"]


def every_change(content: bytes, count: int = 60) -> list[bytes]:
    """The content with one byte changed at `count` places, cut by a byte, and longer by one."""
    places = sorted({round(i * (len(content) - 1) / count) for i in range(count + 1)})
    flipped = [content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :] for i in places]
    return [*flipped, content[:-1], content + b"\n"]


@pytest.mark.parametrize("name", sorted(FILES))
def test_any_changed_byte_is_found(package: Path, name: str) -> None:
    path = package / name
    content = path.read_bytes()
    for changed in every_change(content):
        path.write_bytes(changed)
        with pytest.raises(UnverifiedError) as caught:
            verify(package)
        assert "\n" not in str(caught.value)
    path.write_bytes(content)
    verify(package)


@pytest.mark.parametrize("name", sorted(FILES))
def test_missing_file_is_found(package: Path, name: str) -> None:
    (package / name).unlink()
    with pytest.raises(UnverifiedError, match=name.replace(".", r"\.")):
        verify(package)


def test_additional_file_folder_and_link_are_found(package: Path) -> None:
    (package / "notes.txt").write_text("")
    with pytest.raises(UnverifiedError, match=r"notes\.txt does not belong"):
        verify(package)
    (package / "notes.txt").unlink()
    (package / "more").mkdir()
    with pytest.raises(UnverifiedError, match="more does not belong"):
        verify(package)
    (package / "more").rmdir()
    moved = (package / "embed.py").rename(package.parent / "embed.py")
    (package / "embed.py").symlink_to(moved)
    with pytest.raises(UnverifiedError, match="link"):
        verify(package)


def test_what_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(UnverifiedError, match="no such folder"):
        verify(tmp_path / "absent")
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(UnverifiedError, match=r"holds no manifest\.json"):
        verify(tmp_path)


def test_altered_network_is_never_opened(package: Path) -> None:
    path = package / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    def opened(_: object) -> None:
        raise AssertionError("an altered network was opened")

    with pytest.raises(UnverifiedError, match=r"model\.onnx"):
        verify(package, opened)  # type: ignore[arg-type]


def test_other_embeddings_are_found(package: Path, tmp_path: Path) -> None:
    other = embedder(write_network(tmp_path / "other.onnx", seed=1))
    with pytest.raises(UnverifiedError, match="embeddings differ"):
        verify(package, other)
    narrow = embedder(write_network(tmp_path / "narrow.onnx", width=4))
    with pytest.raises(UnverifiedError, match=r"\(4, 8\), the network gives \(4, 4\)"):
        verify(package, narrow)


def reseal(package: Path) -> None:
    """What somebody does who alters a package and knows how manifests are made."""
    (package / "manifest.json").unlink()
    write_package_manifest(package)


def test_reference_images_follow_the_formula() -> None:
    images = reference_images(1, 3, *SIZE)
    assert images.shape == (3, *SIZE, 3)
    for n, y, x, c in [(0, 0, 0, 0), (2, 47, 23, 2), (1, 30, 11, 1)]:
        phase = 131 * 1 + 89 * n + 53 * c + (2 + n % 5) * y + (3 + (n + c) % 7) * x + x * y // (8 + n)
        assert images[n, y, x, c] == 255 - abs(phase % 510 - 255)
    steps = abs(images[:, 1:].astype(int) - images[:, :-1].astype(int))
    assert steps.max() < 16, "smooth, so that a resize filter or a quantizer meets no artificial edges"


def test_packaged_network_is_valid(package: Path) -> None:
    onnx.checker.check_model(onnx.load(package / "model.onnx"))
