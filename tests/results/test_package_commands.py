"""The commands that read a study or a package, on real ONNX files through the real runtime."""

import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from reid.errors import ConfigError, NothingFeasible, UnverifiedError
from reid.files import sha256_of
from results import Study, commit_fact
from results.package_manifest import write_package_manifest
from results.reference import reference_images
from results.ties import Interval
from search.commands.bench import bench
from search.commands.export_target import export_target
from search.commands.pick import parse_limits, pick
from search.commands.report import report
from search.commands.review import review
from search.commands.verify import verify
from tests.results.package_calls import call, described


@pytest.fixture
def network(network: Path) -> Path:
    """The same network with the input specification inside, as an export leaves it."""
    return described(network)


def test_pick_then_verify_then_bench(study: Study, tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    picked = call("pick", study.path, "--max", "latency_ms=5.5", "--out", large)
    assert picked.exception is None
    assert "Trial 3 has the highest mAP" in picked.stdout
    assert "mAP 78.0 %, latency_ms 5 ms, rank1 88.0 %" in picked.stdout
    assert "next: trial 5, mAP 0.74 (-0.04), latency_ms 3 (-2)" in picked.stdout
    assert "without latency_ms <= 5.5: trial 0, mAP 0.8 (+0.02), latency_ms 8 (+3)" in picked.stdout
    assert (
        "1 ms more buys nothing; the smallest step that does is latency_ms +3: trial 0, mAP 0.8 (+0.02)"
        in (picked.stdout)
    )
    assert (
        "nothing was timed again or evaluated: the dataset is not at /home/some-user/data/market"
        in picked.stdout
    )
    assert f"reid-pareto verify {large}" in picked.stdout
    as_json = call("pick", study.path, "--trial", 5, "--out", small, "--json")
    assert json.loads(as_json.stdout)["trial"] == 5
    verified = json.loads(call("verify", small, "--json").stdout)
    assert verified["min_cosine"] == pytest.approx(1, abs=1e-6)
    assert len(verified["files"]) == 8
    assert verified["program_known"]
    assert "is as it was packed: 8 files" in call("verify", large).stdout
    timed = json.loads(call("bench", large, small, "--json").stdout)
    assert timed["target"] == {"device": "cpu", "threads": 1, "batch": 1}
    first, second = timed["packages"]
    assert first["ratio"] is None
    assert first["model_sha256"] == sha256_of(large / "model.onnx")
    assert timed["host"]
    assert first["tied"] is None
    assert second["tied"] == Interval(**second["ratio"]).includes(1, within=0.02)
    # The median of the rounds' ratios, its interval, and the two medians tell the same of equal networks.
    ratio = second["ratio"]
    assert 0 < ratio["low"] <= ratio["value"] <= ratio["high"]
    rounds = [np.median(row["samples_ms"], axis=1) for row in (first, second)]
    assert ratio["value"] == pytest.approx(np.median(rounds[1] / rounds[0]), rel=1e-3)


@pytest.mark.parametrize("command", ["verify", "bench"])
def test_altered_package_is_refused(study: Study, tmp_path: Path, command: str) -> None:
    package = tmp_path / "package"
    call("pick", study.path, "--out", package)
    path = package / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    refused = call(command, package)
    assert isinstance(refused.exception, UnverifiedError)
    assert refused.exception.exit_code == 6
    assert refused.stdout == ""


def test_a_pick_that_measures_nothing_tells_what_is_known_of_the_test_split(
    study: Study, tmp_path: Path
) -> None:
    asked = ("pick", study.path, "--trial", 5, "--no-check", "--out")
    said = call(*asked, tmp_path / "before").stdout
    assert f"  accuracy: {study.record(5).protocol}\n" in said
    assert "test split" not in said
    found = {"metrics": {"mAP": 0.51, "rank1": 0.7}, "protocol": "test split; single query, cosine"}
    commit_fact(study, 5, "test", found)
    said = call(*asked, tmp_path / "after").stdout
    assert "  test split, evaluated before (single query, cosine): mAP 51.0 %, rank1 70.0 %\n" in said
    told = json.loads(call(*asked, tmp_path / "json", "--json").stdout)
    assert (told["test"], told["protocol"]) == (found["metrics"], study.record(5).protocol)


def test_altered_artifact_is_refused_by_pick(study: Study, tmp_path: Path) -> None:
    path = study.path / "artifacts" / "000005" / "model.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    refused = call("pick", study.path, "--out", tmp_path / "package")
    assert isinstance(refused.exception, UnverifiedError)
    assert not (tmp_path / "package").exists()


def test_nothing_within_the_limits_makes_nothing(study: Study, tmp_path: Path) -> None:
    refused = call("pick", study.path, "--max", "latency_ms=1", "--out", tmp_path / "package")
    assert isinstance(refused.exception, NothingFeasible)
    assert "nearest: trial 8 (latency_ms over by 1.5)" in str(refused.exception)
    assert not (tmp_path / "package").exists()


def test_zip_is_the_same_each_time_and_verifies(study: Study, tmp_path: Path) -> None:
    for name in ("a", "b"):
        made = call("pick", study.path, "--trial", 5, "--zip", "--out", tmp_path / name / "door")
        assert made.exception is None
        assert f"reid-pareto verify {tmp_path / name / 'door.zip'}" in made.stdout
    first, second = tmp_path / "a" / "door.zip", tmp_path / "b" / "door.zip"
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as table:
        names = table.namelist()
        assert names == sorted(f"door/{path.name}" for path in (tmp_path / "a" / "door").iterdir())
        assert {entry.date_time for entry in table.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    renamed = first.rename(tmp_path / "renamed.zip")
    assert f"{renamed} is as it was packed: 8 files" in call("verify", renamed).stdout
    refused = call("pick", study.path, "--trial", 3, "--zip", "--out", tmp_path / "b" / "door")
    assert isinstance(refused.exception, ConfigError)


def test_any_changed_byte_of_a_zip_is_found(study: Study, tmp_path: Path) -> None:
    call("pick", study.path, "--trial", 5, "--zip", "--out", tmp_path / "door")
    path = tmp_path / "door.zip"
    content = path.read_bytes()
    places = [round(i * (len(content) - 1) / 30) for i in range(31)]
    flipped = [content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :] for i in places]
    for changed in (*flipped, content[:-1], content + b"\n", b"", b"PK"):
        path.write_bytes(changed)
        refused = call("verify", path)
        assert isinstance(refused.exception, UnverifiedError), refused.exception
        assert refused.exception.exit_code == 6
        assert "\n" not in str(refused.exception)


@pytest.mark.parametrize(
    "names",
    [["../out.json"], ["a.json"], ["p/x.json", "q/y.json"], ["/etc/x.json"], ["p/a.json", "p/q/x.json"]],
)
def test_hostile_zips_are_refused_and_leave_nothing(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "in" / "p.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as table:
        for name in names:
            table.writestr(name, "{}")
    refused = call("verify", path)
    assert isinstance(refused.exception, UnverifiedError)
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


def test_a_malicious_network_is_refused_though_the_manifest_fits(study: Study, tmp_path: Path) -> None:
    package = tmp_path / "package"
    call("pick", study.path, "--trial", 5, "--out", package)
    path = package / "model.onnx"
    (tmp_path / "secret").write_bytes(bytes(192))
    for harm in ("external", "custom"):
        model = onnx.load(path)
        if harm == "external":
            weight = model.graph.initializer[0]
            onnx.external_data_helper.set_external_data(weight, "../secret")
            weight.ClearField("raw_data")
            weight.data_location = onnx.TensorProto.EXTERNAL
        else:
            model.graph.node[0].domain = "evil.ops"
        changed = tmp_path / harm
        shutil.copytree(package, changed)
        (changed / "model.onnx").write_bytes(model.SerializeToString())
        (changed / "manifest.json").unlink()
        write_package_manifest(changed)
        refused = call("verify", changed)
        assert isinstance(refused.exception, UnverifiedError), refused.exception
        assert ("external data" if harm == "external" else "evil.ops") in str(refused.exception)


@pytest.mark.parametrize("change", [{"mean": [0.0, 0.0, 0.0]}, {"flip": True}])
def test_another_specification_than_the_networks_own_is_refused(
    change: dict[str, object], study: Study, tmp_path: Path
) -> None:
    """The package's program would normalise by the file, and embed otherwise than was proved."""
    package = tmp_path / "package"
    call("pick", study.path, "--trial", 5, "--out", package)
    spec = package / "input_spec.json"
    spec.write_text(json.dumps(json.loads(spec.read_text()) | change))
    (package / "manifest.json").unlink()
    write_package_manifest(package)
    refused = call("verify", package)
    assert isinstance(refused.exception, UnverifiedError)
    assert "input_spec.json is not the specification of the network" in str(refused.exception)


def test_export_to_openvino_and_back_to_the_clock(study: Study, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed (an extra)")
    source, made = tmp_path / "source", tmp_path / "made"
    call("pick", study.path, "--trial", 5, "--zip", "--out", source)
    exported = json.loads(
        call("export-target", f"{source}.zip", "--target", "openvino", "--out", made, "--json").stdout
    )
    assert exported["min_cosine"] > 0.999
    assert {path.name for path in made.iterdir()} == {
        "embed.py", "input_spec.json", "manifest.json", "metrics.json", "model.bin", "model.xml", "model_card.md",
        "reference.json", "reproduce.yaml", "requirements.txt",
    }  # fmt: skip
    assert json.loads(call("verify", made, "--json").stdout)["min_cosine"] > 0.9999
    metrics = json.loads((made / "metrics.json").read_text())
    assert metrics["target"]["runtime"] == "openvino"
    assert metrics["source"] == json.loads((source / "metrics.json").read_text())
    assert metrics["conversion"]["model_sha256"] == sha256_of(source / "model.onnx")
    assert "Converted for openvino" in (made / "model_card.md").read_text()
    assert (made / "requirements.txt").read_text().startswith("openvino>=")
    assert (
        "for openvino"
        in call("export-target", source, "--target", "openvino", "--fp16", "--out", f"{made}-half").stdout
    )
    timed = json.loads(call("bench", source, made, "--json").stdout)
    assert [row["runtime"] for row in timed["packages"]] == ["onnxruntime", "openvino"]


def test_export_of_a_file_that_takes_pixels(study: Study, tmp_path: Path) -> None:
    source, made = tmp_path / "source", tmp_path / "made"
    call("pick", study.path, "--trial", 5, "--out", source)
    exported = json.loads(
        call("export-target", source, "--target", "onnxruntime-pixels", "--out", made, "--json").stdout
    )
    assert exported["min_cosine"] > 0.999
    assert json.loads(call("verify", made, "--json").stdout)["min_cosine"] > 0.9999
    assert "Converted for onnxruntime-pixels" in (made / "model_card.md").read_text()
    spec = json.loads((made / "input_spec.json").read_text())
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, image in enumerate(reference_images(7, 3, spec["height"], spec["width"])):
        Image.fromarray(image).save(pictures / f"{number}.png")
    rows = []
    for folder in (source, made):
        command = [sys.executable, folder / "embed.py", pictures, tmp_path / f"{folder.name}.npy"]
        subprocess.run(command, check=True, capture_output=True)
        rows.append(np.load(tmp_path / f"{folder.name}.npy"))
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)


def test_export_refuses_what_it_cannot_do(study: Study, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed (an extra)")
    source, made = tmp_path / "source", tmp_path / "made"
    call("pick", study.path, "--trial", 5, "--out", source)
    unknown = call("export-target", source, "--target", "tensorrt", "--out", made)
    assert isinstance(unknown.exception, ConfigError)
    assert "known: executorch, onnxruntime-pixels, openvino, torchscript" in str(unknown.exception)
    assert isinstance(
        call("export-target", source, "--target", "openvino", "--out", source).exception, ConfigError
    )
    call("export-target", source, "--target", "openvino", "--out", made)
    again = call("export-target", made, "--target", "openvino", "--out", tmp_path / "twice")
    assert "made for openvino" in str(again.exception)
    for path, name in ((made, "model.bin"), (made, "model.xml"), (source, "model.onnx")):
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert isinstance(call("verify", path).exception, UnverifiedError)
        (path / name).write_bytes(content)
    (source / "model.onnx").write_bytes(b"")
    refused = call("export-target", source, "--target", "openvino", "--out", tmp_path / "no")
    assert isinstance(refused.exception, UnverifiedError)
    assert not (tmp_path / "no").exists()


def test_report_and_picture(study: Study, tmp_path: Path) -> None:
    made = call("report", study.path, "--out", tmp_path / "report.html", "--png", tmp_path / "front.png")
    assert made.exception is None
    assert (tmp_path / "report.html").stat().st_size < 3_000_000
    assert (tmp_path / "front.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("command", [pick, verify, report, bench, export_target, review])
def test_help_shows_an_example(command: object) -> None:
    name = getattr(command, "__name__").replace("_", "-")  # noqa: B009
    assert f"Example: reid-pareto {name}" in " ".join(call(name, "--help").stdout.split())


def test_next_commands_hold_where_a_path_has_spaces(study: Study, tmp_path: Path) -> None:
    source, made = tmp_path / "door camera", tmp_path / "with pixels"
    picked = call("pick", study.path, "--trial", 5, "--no-check", "--out", source).stdout
    assert shlex.split(picked.splitlines()[-1])[-3:] == ["reid-pareto", "verify", str(source)]
    exported = call("export-target", source, "--target", "onnxruntime-pixels", "--out", made).stdout
    assert shlex.split(exported.splitlines()[-1])[-4:] == ["reid-pareto", "bench", str(source), str(made)]


def test_limits_are_read_or_refused() -> None:
    assert parse_limits(["latency_ms=5", " mAP = .7 "], "--max") == {"latency_ms": 5.0, "mAP": 0.7}
    for texts in (["latency_ms"], ["latency_ms=fast"], ["latency_ms=5ms"]):
        with pytest.raises(ConfigError, match="--max takes METRIC=VALUE"):
            parse_limits(texts, "--max")
    with pytest.raises(ConfigError, match="given twice"):
        parse_limits(["mAP=1", "mAP=0.5"], "--min")


@pytest.mark.parametrize(
    "arguments", [["verify"], ["bench"], ["export-target", "--target", "openvino", "--out", "out"]]
)
def test_a_package_that_is_not_there_is_bad_input(arguments: list[str], tmp_path: Path) -> None:
    error = call(*arguments, tmp_path / "nowhere").exception
    assert isinstance(error, ConfigError)
    assert "nowhere does not exist" in str(error)


def test_a_limit_needs_a_metric() -> None:
    with pytest.raises(ConfigError, match=r"--max takes METRIC=VALUE .*, got '=5'"):
        parse_limits(["=5"], "--max")


@pytest.mark.parametrize("command", [["review", "--no-browser"], ["pick", "--no-check", "--out", "OUT"]])
def test_data_that_is_not_there_is_refused_at_once(command: list[str], study: Study, tmp_path: Path) -> None:
    out = tmp_path / "package"
    name, *options = [str(out) if word == "OUT" else word for word in command]
    error = call(name, study.path, *options, "--data", tmp_path / "nowhere").exception
    assert isinstance(error, ConfigError)
    assert "nowhere: no such folder" in str(error)
    assert not out.exists()


@pytest.mark.parametrize("below", ["", "packages"])
def test_review_refuses_a_file_for_packages_before_it_serves(
    below: str, study: Study, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    error = call("review", study.path, "--no-browser", "--packages", file / below).exception
    assert isinstance(error, ConfigError)
    assert f"{file} is no folder; name one for the packages" in str(error)
    assert file.read_text() == "kept"
