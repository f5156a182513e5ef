"""Which lines `make lint` reports as too long."""

import pytest

from tests.line_lengths import LONGEST, too_long

WORD = "x" * (LONGEST + 1)
TEXT = "word " * 24 + "w"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["a" * LONGEST], []),
        ([TEXT], [1]),
        (["short", f"- {TEXT}"], [2]),
        ([f"| {TEXT} |"], []),
        (["```", TEXT, "```"], []),
        (["  ```sh", TEXT, "  ```", TEXT], [4]),
        ([WORD], []),
        ([f"- {WORD}"], []),
        ([f"see {WORD} there"], [1]),
        (["é" * LONGEST], []),
    ],
    ids=["fits", "text", "list", "table", "code", "after code", "word", "word in a list", "among others", "characters"],
)
def test_line_that_can_be_broken_is_found(lines: list[str], found: list[int]) -> None:
    """Rows of tables, lines of code and one long word are allowed. Text must be wrapped."""
    assert list(too_long(lines)) == found
