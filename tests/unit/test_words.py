"""Counts in texts, as people write them."""

import ast
import itertools
import re
from pathlib import Path

import pytest

from mailroom_runtime.words import counted, round_duration, visible

SRC = Path(__file__).parents[2] / "src"
PLURAL = re.compile(
    r" (other |claimed )?(rows|tokens|mails|entries|deliveries|recipients|lines|destinations|templates|actions|files"
    r"|calls|accounts|characters|pages|queues|statuses|fields|bytes|times|warnings)\b"
)


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_000_000, "1,000,000 rows"), (1.0, "1 row"), (12.5, "12.5 rows")],
)
def test_counts_are_written_as_people_write_them(number: float, written: str) -> None:
    """One is singular, and a million is not 1e+06."""
    assert counted(number, "row") == written


def test_plural_can_be_given() -> None:
    """It is for words whose plural is not a mere s."""
    assert [counted(n, "delivery", "deliveries") for n in (1, 2)] == ["1 delivery", "2 deliveries"]


def test_no_text_puts_a_count_before_a_fixed_plural() -> None:
    """It would print "1 rows". A constant or a rate with decimals can't be 1."""
    found = []
    for file in SRC.rglob("*.py"):
        for text in ast.walk(ast.parse(file.read_text())):
            if isinstance(text, ast.JoinedStr):
                pairs = itertools.pairwise(text.values)
                found += [f"{file.name}: {ast.unparse(text)}" for pair in pairs if pastes_a_count(*pair)]
    assert found == []


def pastes_a_count(value: ast.expr, behind: ast.expr) -> bool:
    if not (isinstance(value, ast.FormattedValue) and isinstance(behind, ast.Constant)):
        return False
    spelt = ast.unparse(value.value)
    is_constant = spelt.strip("_").isupper()
    is_rate = value.format_spec is not None and ".1f" in ast.unparse(value.format_spec)
    return bool(PLURAL.match(str(behind.value))) and not is_constant and not is_rate


def test_foreign_text_is_made_visible() -> None:
    """Control characters, line breaks and changes of direction are escaped. Letters are unchanged."""
    assert visible("é\x1b[2J\n\u202e\u2028\x9b") == r"é\x1b[2J\n\u202e\u2028\x9b"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (119.4, "119 s"), (119.9, "120 s"), (120.0, "2 min"), (3600.0, "60 min")]
)
def test_time_is_in_minutes_from_two_minutes_on(seconds: float, words: str) -> None:
    """Below two minutes a second matters."""
    assert round_duration(seconds) == words
