"""What `make mutants` changes, and its report."""

import tomllib
from pathlib import Path

from tests.contract.test_imports import PURE
from tests.mutants.__main__ import counted, table

ROOT = Path(__file__).parents[2]


def test_each_pure_file_is_changed() -> None:
    """A new pure file must be added to the list too."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    files = {str(file.relative_to(ROOT)) for file in PURE.values()}
    assert files <= set(settings["only_mutate"])
    assert {file for file in settings["only_mutate"] if not (ROOT / file).exists()} == set()


def test_table_counts_by_file() -> None:
    """A change that makes the tests hang counts as noticed. One that no test reaches does not."""
    results = [
        "    b.wire.x_row__mutmut_1: killed", "    b.wire.x_row__mutmut_2: timeout", "",
        "    b.wire.xǁRowǁof__mutmut_1: survived", "    a.links.x_at__mutmut_1: no tests",
    ]  # fmt: skip
    assert table(counted(results)) == [
        "         changes  noticed  not noticed",
        "a.links        1        0            1",
        "b.wire         3        2            1",
        "all            4        2            2",
    ]
