import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reid.errors import ConfigError, DataError
from search.commands.data import data as data_app

TINY = ["--identities", "4", "--test-identities", "2", "--images-per-camera", "2", "--cameras", "2"]


def call(*arguments: object) -> str:
    """Output of the command; an error of ours is raised, as `search.cli.main` gets it."""
    result = CliRunner().invoke(data_app, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_prepare_and_inspect_generated_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert "synthetic is prepared in" in call("prepare", "synthetic", "--to", data, "--seed", 3, *TINY)
    assert "was already prepared" in call("prepare", "synthetic", "--to", data, "--seed", 3, *TINY)
    text = call("inspect", data)
    assert "no bad images" in text
    assert [line.split("│")[1:3] for line in text.splitlines() if "train" in line] == [
        [" train   ", " 16     "]
    ]


def test_json_is_one_document(tmp_path: Path) -> None:
    prepared = json.loads(call("prepare", "synthetic", "--to", tmp_path / "data", "--json", *TINY))
    assert prepared["images"] == {"train": 16, "query": 4, "gallery": 6}
    found = json.loads(call("inspect", tmp_path / "data", "--json"))
    assert (found["name"], found["train"]["identities"], found["bad"]) == ("synthetic", 4, [])


def test_real_layout_with_a_bad_image(tmp_path: Path) -> None:
    call("prepare", "synthetic", "--to", tmp_path / "made", *TINY)
    (tmp_path / "made" / "dataset.json").unlink()
    next((tmp_path / "made" / "query").iterdir()).write_bytes(b"torn")
    request = ("prepare", "market1501", "--from", tmp_path / "made", "--to", tmp_path / "data")
    with pytest.raises(DataError, match="1 bad image: query/"):
        call(*request)
    text = call(*request, "--skip-bad")
    assert "left out as damaged: 1 (query/" in text
    assert "not the counts of the official market1501" in text


def test_inspect_shows_what_is_wrong(tmp_path: Path) -> None:
    call("prepare", "synthetic", "--to", tmp_path / "data", *TINY)
    torn = next((tmp_path / "data" / "query").iterdir())
    torn.write_bytes(b"torn")
    shutil.copy(
        next((tmp_path / "data" / "bounding_box_train").iterdir()), tmp_path / "data" / "bounding_box_test"
    )
    text = call("inspect", tmp_path / "data")
    assert f"1 bad images: query/{torn.name} (no JPEG or PNG)" in text
    assert "1 identities in both training and test split" in text
    assert "1 test images that stand in the training split too, byte for byte: bounding_box_train/" in text


def test_a_tree_and_a_merger(tmp_path: Path) -> None:
    call("prepare", "synthetic", "--to", tmp_path / "made", *TINY)
    tree = ("prepare", "folder", "--from", tmp_path / "made", "--to", tmp_path / "tree")
    text = call(
        *tree, "--pattern", r"/(?P<person>\d+)_c(?P<camera>\d)", "--test-share", "0.34", "--seed", "1"
    )
    assert "folder is prepared in" in text
    with pytest.raises(DataError, match="share training images"):
        call(
            "prepare",
            "merged",
            "--from",
            tmp_path / "made",
            "--from",
            tmp_path / "tree",
            "--to",
            tmp_path / "both",
        )
    call("prepare", "synthetic", "--to", tmp_path / "others", *TINY, "--seed", "5")
    asked = min((tmp_path / "tree" / "query").iterdir())
    shutil.copy(asked, tmp_path / "others" / "bounding_box_train" / "9999_c1_000001.png")
    both = (
        "prepare",
        "merged",
        "--from",
        tmp_path / "others",
        "--from",
        tmp_path / "tree",
        "--to",
        tmp_path / "both",
    )
    prepared = json.loads(call(*both, "--evaluate-on", tmp_path / "tree", "--json"))
    inspected = json.loads(call("inspect", tmp_path / "both", "--json"))
    alone = json.loads(call("inspect", tmp_path / "tree", "--json"))
    assert inspected["query"] == alone["query"]
    assert inspected["train"]["images"] == alone["train"]["images"] + 17
    assert len(prepared["leaks"]["images"]) == len(inspected["shared_images"]) == 1
    assert "byte for byte" in call(*both, "--evaluate-on", tmp_path / "tree")


def test_images_that_the_pattern_passes_over_are_counted(tmp_path: Path) -> None:
    call("prepare", "synthetic", "--to", tmp_path / "made", *TINY)
    pattern = r"(?P<split>query|bounding_box_train|bounding_box_test)/(?P<person>\d+)_c(?P<camera>\d)"
    made = json.loads(call("inspect", tmp_path / "made", "--json"))
    arguments = (
        "prepare",
        "folder",
        "--from",
        tmp_path / "made",
        "--to",
        tmp_path / "tree",
        "--pattern",
        pattern,
    )
    text = " ".join(call(*arguments).split())
    assert f"{made['gallery']['junk']} images do not match the pattern and were left out" in text


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("market1501",), "market1501 needs --from"),
        (
            ("market1501", "--from", "x", "--test-identities", "3"),
            "--test-identities does not go with market1501, only with synthetic",
        ),
        (("synthetic", "--from", "x"), "--from does not go with synthetic"),
        (("synthetic", "--skip-bad"), "--skip-bad does not go with synthetic"),
        (("synthetic", "--cameras", "9"), "cameras must be 2 to 6"),
        (("market1501", "--from", "x", "--from", "y"), "--from is given 2 times; only merged"),
        (
            ("market1501", "--from", "x", "--boxes", "labelled"),
            "--boxes does not go with market1501, only with cuhk03",
        ),
        (("market1501", "--from", "tests", "--sha256", "12"), "--sha256 must be 64 hexadecimal digits"),
        (("cuhk03", "--from", "tests", "--boxes", "both"), "unknown kind of boxes 'both'"),
        (("folder", "--from", "tests"), "folder needs --pattern"),
        (("folder", "--from", "tests", "--pattern", "(?P<person>x)"), "lacks the group camera"),
        (
            ("folder", "--from", "tests", "--pattern", "(?P<person>x)(?P<camera>y)", "--test-share", "2"),
            "test_share must",
        ),
        (("merged",), "merged needs --from"),
        (("merged", "--from", "x", "--skip-bad"), "--skip-bad does not go with merged"),
        (("dukemtmc", "--evaluate-on", "x"), "--evaluate-on does not go with dukemtmc, only with merged"),
        (("mars",), "unknown dataset 'mars'"),
    ],
)
def test_wrong_requests_name_the_option(tmp_path: Path, arguments: tuple[str, ...], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        call("prepare", *arguments, "--to", tmp_path / "data")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["prepare", "inspect"])
def test_help_has_an_example(command: str) -> None:
    assert "Example: reid-pareto data" in " ".join(call(command, "--help").split())
