"""Every link within the documentation has a target, and every file that it names exists."""

import re
from pathlib import Path

import pytest

from tests.support.pages import ROOT, anchors, links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    """Relative links name files of the repository and headings that exist."""
    lost = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_index_names_every_page() -> None:
    """docs/README.md links to each page beside it."""
    index = ROOT / "docs" / "README.md"
    linked = {link.partition("#")[0] for link in links(index)}
    assert {page.name for page in index.parent.glob("*.md")} - linked == {"README.md"}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    """A quoted path exists below the top folder or below one of the packages."""
    places = [ROOT, ROOT / "src", *(ROOT / "src").iterdir()]
    named = re.findall(r"`([\w./-]+/[\w.-]*\.(?:py|sql|yml|yaml|service|toml|txt))`", page.read_text())
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
