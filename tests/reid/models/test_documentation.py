"""docs/networks.md names what there is, and its lines ask for nothing that is refused."""

import ast
import dataclasses
import re
from pathlib import Path

from reid.models import BACKBONES, NetworkOptions

PAGE = (Path(__file__).parents[3] / "docs" / "networks.md").read_text(encoding="utf-8")


def first_column(heading: str) -> list[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)


def test_every_backbone_and_option_has_its_row() -> None:
    assert sorted(first_column("Backbones")) == sorted(BACKBONES)
    assert first_column("Options") == [field.name for field in dataclasses.fields(NetworkOptions)]


def test_every_line_is_accepted() -> None:
    lines = re.findall(r"build\(\".*?\)(?=`|\n)", PAGE)
    assert len(lines) > len(BACKBONES)
    for line in lines:
        call = ast.parse(line, mode="eval").body
        assert isinstance(call, ast.Call)
        name, people = (ast.literal_eval(value) for value in call.args)
        given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        given.pop("weights", None)
        assert people == 751
        NetworkOptions(**given).demand_offered(name)
