"""Each line of the log is an event with a name, which docs/log-events.md lists."""

import ast
import re
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
PAGE = (SRC.parent / "docs" / "log-events.md").read_text()
LISTED = dict(re.findall(r"(?m)^\| `(\w+)` \|.*\| ([^|]*) \|$", PAGE))


def log_calls(file: Path) -> list[ast.Call]:
    """Return the calls of the log: of a function `log`, or of an attribute `_log`."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return [
        call
        for call in calls
        if (isinstance(call.func, ast.Name) and call.func.id == "log")
        or (isinstance(call.func, ast.Attribute) and call.func.attr == "_log")
    ]


FILES = {str(file.relative_to(SRC)): file for file in sorted(SRC.rglob("*.py")) if log_calls(file)}


@pytest.mark.parametrize("name", FILES)
def test_each_line_of_the_log_is_an_event(name: str) -> None:
    """A call of the log names its event; constant names are in snake_case and listed with their fields."""
    for call in log_calls(FILES[name]):
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        assert "event" in given, f"{name}:{call.lineno} logs without event="
        # A time or a rate has its unit in its name.
        assert not [field for field in given if re.search("(wait|retry|took|rate|every|lease)$", field or "")]
        match given["event"]:
            case ast.Constant(str(event)):
                assert re.fullmatch(r"[a-z]+(_[a-z]+)*", event), event
                assert event in LISTED, f"{event} is not in docs/log-events.md: run 'make docs'"
                missing = {
                    field
                    for field in given
                    if field not in (None, "event", "level") and f"`{field}`" not in LISTED[event]
                }
                assert not missing, (event, missing)
            case _:
                continue


def test_page_lists_no_event_that_is_not_in_the_source() -> None:
    """Each listed name is a string in the source."""
    source = "".join(file.read_text() for file in SRC.rglob("*.py"))
    assert len(LISTED) >= 10
    assert [name for name in LISTED if f'"{name}"' not in source] == []
