"""What README and docs/ tell people to type, read out of their fenced blocks."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "blocks", "commands"]

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    str(page.relative_to(ROOT)): page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
"""Pages by their name from the root of the repository."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAMS = ("reid-pareto", "python", "cd", "pip", "make")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, or "" for what is typed or shown, and its text."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in its order."""
    return [Block(*found) for found in _FENCE.findall(page.read_text())]


def commands(page: Path) -> list[str]:
    """The commands of a page in its order, each in one line and without its comment; also those in tables."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language in ("", "sh", "bash"):
            lines += block.text.replace("\\\n", " ").splitlines()
    lines += re.findall(r"`(python -m benchmarks[^`]*)`", page.read_text())
    typed = [line.strip() for line in lines if line.strip().split(" ")[0] in _PROGRAMS]
    return list(dict.fromkeys(" ".join(_words(line)) for line in typed))


def _words(line: str) -> list[str]:
    """The words of a command as a shell would quote them again; operators such as && stay bare."""
    return [
        word if word in ("&&", ">", "&", "|") else shlex.quote(word)
        for word in shlex.split(line, comments=True)
    ]
