"""Each line of the sender's log is an event with a name, so that a program need not read sentences."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SENDER = Path(__file__).parents[2] / "src" / "mailroom_sender"


def logged() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of the log, with its place."""
    for file in sorted(SENDER.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "log":
                yield f"{file.relative_to(SENDER)}:{node.lineno}", node


def test_each_line_of_the_log_is_an_event_by_name() -> None:
    """In snake_case; and a field that is a time or a rate has its unit in its name."""
    places = list(logged())
    assert len(places) > 20
    for place, call in places:
        names = {word.arg: word.value for word in call.keywords}
        assert "event" in names, place
        if isinstance(names["event"], ast.Constant):
            assert re.fullmatch("[a-z]+(_[a-z]+)*", str(names["event"].value)), place
        for name in names:
            assert not re.search("(wait|retry|took|rate|every|lease)$", name or ""), (place, name)
