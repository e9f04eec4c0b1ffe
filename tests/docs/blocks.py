"""Fenced blocks of the documentation, and the commands in them."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCUMENTS", "ROOT", "Block", "Command", "blocks", "commands"]

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What stands between two fences.

    Attributes:
        line: of the first line of the text, counted from 1.
        language: after the opening fence.
    """

    document: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command as a user would type it: continued lines joined, the comment at its end dropped."""

    place: str
    text: str


def blocks(document: Path) -> list[Block]:
    text = document.read_text()
    return [
        Block(
            document=document,
            line=text[: match.start()].count("\n") + 2,
            language=match[1].strip(),
            text=match[2],
        )
        for match in _BLOCK.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """The commands of a block, none of a whole script (it begins with "#!")."""
    if block.text.startswith("#!"):
        return []
    found, parts, first = [], [], 0
    for number, line in enumerate(block.text.splitlines()):
        first = first if parts else block.line + number
        parts.append(re.sub(r"(^|\s)#\s.*", "", line).strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            if text := " ".join(parts).strip():
                found.append(Command(place=f"{block.document.relative_to(ROOT)}:{first}", text=text))
            parts = []
    return found
