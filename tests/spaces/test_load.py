"""Reading space files, honest and hostile (docs/faults.md, row X12)."""

from pathlib import Path

import pytest

import spaces
from reid.errors import ConfigError

HEAD = "name: a\ndataset: synthetic\nobjectives: {mAP: maximize, latency_ms: minimize}\n"
BODY = "parameters: {prune_rate: {float: [0.3, 0.9]}}\n"

BILLION_LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "space.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("name", ["demo", "market-osnet", "market-resnet18"])
def test_presets_load(name: str) -> None:
    space = spaces.load(name)
    assert space.name == name
    assert {"prune_rate", "decay_rate", "knn", "input_size", "quantization"} <= set(space.parameters)
    assert list(space.objectives.items()) == [("mAP", "maximize"), ("latency_ms", "minimize")]
    assert all(isinstance(value, list) for value in space.parameters["input_size"].choice or ())


def test_preset_names_are_the_files() -> None:
    folder = Path(spaces.__file__).parent / "presets"
    assert spaces.preset_names() == tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def test_a_path_loads_like_a_preset(tmp_path: Path) -> None:
    source = (Path(spaces.__file__).parent / "presets" / "demo.yaml").read_text()
    assert spaces.load(write(tmp_path, source)) == spaces.load("demo")


def test_exponents_are_numbers(tmp_path: Path) -> None:
    text = HEAD + "parameters: {learning_rate: {float: [1e-5, 1.5E-3], log: true}}"
    assert spaces.load(write(tmp_path, text)).parameters["learning_rate"].float_range == (1e-5, 1.5e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "paramters: {}", "unknown key paramters; did you mean parameters?"),
        (HEAD + BODY + "name: b\n", "line 5: key 'name' is given twice"),
        (HEAD + "parameters: {a: {float: [0, 1], float: [0, 2]}}", "key 'float' is given twice"),
        (BILLION_LAUGHS, "anchors, aliases and tags are not allowed"),
        (HEAD + "fixed: !!python/object/apply:os.system ['touch hacked']", "anchors, aliases and tags"),
        (HEAD + "fixed: !!set {a, b}", "anchors, aliases and tags"),
        ("[" * 100_000, "nested deeper than 12 levels"),
        ("{a: " * 50 + "1" + "}" * 50, "nested deeper than 12 levels"),
        ("".join(f"k{n}: 1\n" for n in range(100_000)), "more than 20000 keys and values"),
        ("x" * 1_000_001, "larger than 1000000 bytes"),
        (HEAD + f"parameters: {{a: {{int: [1, {'9' * 5000}]}}}}", "integer"),
        (HEAD + f"parameters: {{a: {{int: [1, {'9' * 400}]}}}}", "2^53"),
        (HEAD + f"parameters: {{a: {{float: [1, {'9' * 400}]}}}}", "parameters.a.float.1"),
        (HEAD + "fixed: 2020-99-99", "month"),
        (HEAD + "fixed: {a: 2020-01-01}", "fixed.a"),
        (HEAD + "? [a, b]\n: 1\n", "space.yaml"),
        (HEAD + "a: [1", "line"),
        ("\t- a", "line 1"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("a: \x07", "space.yaml"),
        ("", "mapping"),
        ("--- 1\n--- 2\n", "space.yaml"),
    ],
)
def test_bad_files_end_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        spaces.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("hacked"))


def test_an_unknown_preset_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="no space named 'dmo'; shipped are demo, market-"):
        spaces.load("dmo")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the space file .*gone\.yaml: No such file"):
        spaces.load(tmp_path / "gone.yaml")
