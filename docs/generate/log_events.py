"""The events of the log as one Markdown page: read from the calls in the source that log them."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_SRC = Path(__file__).parents[2] / "src"
_PROGRAMS = {
    "mailroom_collector": ("mailroom-collect",),
    "mailroom_sender": ("mailroom-send",),
    "mailroom_runtime": ("mailroom-collect", "mailroom-send"),
}
_LEVELS = ("info", "warning", "error")
_OTHERS = "**"
"""Stands for fields that the source hands over as a table."""
_HEAD = """\
# Events of the log

Made from the source by `make docs`; a test compares it with the source.

Both programs write one line an event to stderr. With `--log-format json` (`MAILROOM_LOG_FORMAT=json`) each line is a
JSON object with `time` (UTC), `level`, `program`, `event`, `message` (the same text as in the other format) and the
fields of the event below. A field without a value is left out. A field whose name ends in `_s` or `_ms` is a time in
seconds or milliseconds.

Level `error`: mails stand still, or the program ends, until a person acts. Level `warning`: something went wrong, and
the program deals with it. Where an event has several levels, its cause decides. `error` is the event that ends a
program: `hint` says what to do, and `exit_status` is the program's.

"""


@dataclass
class Event:
    """What the source says of one event."""

    name: str
    programs: set[str] = field(default_factory=set)
    levels: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def log_events() -> str:
    """Return the page."""
    rows: list[tuple[str, ...]] = [("event", "program", "level", "fields"), ("---",) * 4]
    for one in events():
        levels = [level for level in _LEVELS if level in one.levels]
        fields = [f"`{name}`" for name in sorted(one.fields - {_OTHERS})]
        fields += ["the counts of the text"] * (_OTHERS in one.fields)
        rows.append((f"`{one.name}`", *map(", ".join, (sorted(one.programs), levels, fields))))
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def events() -> list[Event]:
    """Return the events of the source, by name."""
    found: dict[str, Event] = {}
    for package, programs in _PROGRAMS.items():
        for file in sorted((_SRC / package).rglob("*.py")):
            for name, levels, fields in _events_of(ast.parse(file.read_text())):
                event = found.setdefault(name, Event(name))
                event.programs.update(programs)
                event.levels.update(levels)
                event.fields.update(fields)
    return sorted(found.values(), key=lambda one: one.name)


def _events_of(module: ast.Module) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield the name, levels and fields of what each call of a file logs."""
    known = {
        target.id: node.value
        for node in module.body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
        if repeated := _repeated(call):
            event, number = repeated
            yield event, ["info", "warning"], [number, f"first_{number}", f"last_{number}", "count", "reason"]
            continue
        given = {one.arg: one.value for one in call.keywords if one.arg is not None}
        level = given.get("level") or next(iter(call.args[1:2]), None)
        levels = ["info"] if level is None else list(_texts(level, known)) or ["warning", "error"]
        for event in _texts(given.get("event"), known):
            fields = [one.arg or _OTHERS for one in call.keywords if one.arg not in ("event", "level")]
            yield event, levels, fields


def _repeated(call: ast.Call) -> tuple[str, str] | None:
    """Return the event of a log that counts repeats, and what its numbers are."""
    texts = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    match call.func:
        case ast.Name("token_log") if texts:
            return texts[0], "token"
        case ast.Name("RepeatedLog") if len(texts) > 1:
            return texts[0], texts[1]
        case _:
            return None


def _texts(value: ast.expr | None, known: Mapping[str, ast.expr]) -> Iterable[str]:
    """Return the texts that an expression may have: a constant, a choice, or what a table of the file holds."""
    match value:
        case ast.Constant(str(text)):
            return [text]
        case ast.IfExp():
            return [*_texts(value.body, known), *_texts(value.orelse, known)]
        case ast.Subscript(ast.Name(table)) if isinstance(known.get(table), ast.Dict):
            entries = known[table]
            assert isinstance(entries, ast.Dict)
            return [text for entry in entries.values for text in _texts(entry, known)]
        case _:
            return []
