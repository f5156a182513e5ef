"""Every link within the documentation leads somewhere."""

from pathlib import Path

import pytest

from tests.support.pages import ROOT, anchors, links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    """Relative links name files of the repository, and headings that are there."""
    lost = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_index_names_every_page() -> None:
    """docs/README.md links to each page beside it, so that none is hidden."""
    index = ROOT / "docs" / "README.md"
    linked = {link.partition("#")[0] for link in links(index)}
    assert {page.name for page in index.parent.glob("*.md")} - linked == {"README.md"}
