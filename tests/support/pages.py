"""Pages of the documentation: their code blocks, headings and links, as GitHub reads them."""

import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
AWS = f"""#!/bin/sh
exec {sys.executable} {ROOT}/tests/support/aws_cli.py "$@"
"""
"""The script that stands in for `aws` in a page's commands."""
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n\n)?^ *```(?P<language>\w+)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block, and the comment just before it."""

    language: str
    text: str
    mark: str


def blocks(page: Path, language: str) -> list[Block]:
    """Return a page's blocks of a language."""
    found = [
        Block(m["language"], textwrap.dedent(m["text"]), m["mark"] or "") for m in _BLOCK.finditer(page.read_text())
    ]
    return [block for block in found if block.language == language]


def pages() -> list[Path]:
    """Return the pages at the top, and all in docs."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and pictures, without those on other hosts."""
    prose = _BLOCK.sub("", page.read_text())
    found = re.findall(r"\]\(([^()\s]+)\)", prose)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    prose = _BLOCK.sub("", page.read_text())
    headings = re.findall(r"^#+ +(.*?) *$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
