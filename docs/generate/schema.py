"""The schema of today as SQL to read: what pg_dump says of a migrated database, in an order for people."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg

from mailroom_collector.schema.migrator import Migrator

_SCHEMA = "mailroom"
_COLUMNS = 120
_HEAD = f"""\
-- The schema as the migrations make it, by pg_dump: types, tables, constraints, indexes and triggers, functions with
-- their settings and rights. 'make docs' makes it, and a test compares it with the migrations. It is for reading; to
-- create the schema, run 'mailroom-collect migrate'. migrations/functions says what each function does.
--
-- {_SCHEMA} stands for the schema that mailroom is in.
"""
_ENTRY = re.compile(r"^--\n-- Name: (.+); Type: ([A-Z ]+); Schema: .*\n--\n", re.MULTILINE)
_NOISE = re.compile(r"^(SET .*;|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*|--( PostgreSQL.*)?)\n", re.MULTILINE)
"""What depends on the version of pg_dump, or on chance."""
_PLACES = {"SCHEMA": 0, "TYPE": 1, "CONSTRAINT": 3, "FK CONSTRAINT": 3, "INDEX": 3, "TRIGGER": 4, "FUNCTION": 5}
"""Where a kind of entry stands; 2 is for tables, with their comments, sequences and defaults."""


class _Entry(NamedTuple):
    place: tuple[int, int]
    text: str


def schema() -> str:
    """Return the page. Starts a PostgreSQL server of its own."""
    sys.path.append(str(Path(__file__).parents[2]))  # for demo
    from demo.embedded import embedded_server  # noqa: PLC0415 - on the path only now

    # Not in a folder with a long name: a socket's path may have 107 bytes (unix(7)).
    with tempfile.TemporaryDirectory(prefix="mailroom-") as folder:
        Path(folder).chmod(0o755)
        with embedded_server(Path(folder) / "pg") as server:
            url = server.get_uri()
            with psycopg.connect(url, autocommit=True) as connection:
                Migrator(connection, _SCHEMA).run(None)
            dump = subprocess.run(
                [Path(str(server.bin_path)) / "pg_dump", "--schema-only", "--no-owner", f"--schema={_SCHEMA}", url],
                check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
    return _HEAD + "".join(f"\n{entry.text}\n" for entry in sorted(_entries(dump)))


def _entries(dump: str) -> Iterator[_Entry]:
    """Yield what is in a dump, each with its place. The rights of a function stand behind it; no two have one name."""
    _, *parts = _ENTRY.split(dump)
    functions: dict[str, int] = {}
    for number, (name, kind, text) in enumerate(zip(parts[0::3], parts[1::3], parts[2::3], strict=True)):
        if kind == "FUNCTION":
            functions[name.partition("(")[0]] = number
        place = _PLACES.get(kind, 2), number
        if kind == "ACL":
            place = _PLACES["FUNCTION"], functions[name.removeprefix("FUNCTION ").partition("(")[0]]
        clean = re.sub(r"\n{3,}", "\n\n", _NOISE.sub("", text)).strip()
        yield _Entry(place, "\n".join(line for long in clean.split("\n") for line in _wrapped(long)))


def _wrapped(line: str) -> Iterator[str]:
    """Yield a line in parts that are not too long; a string stays whole."""
    if len(line) <= _COLUMNS:
        yield line
        return
    words = re.findall(r" *(?:'(?:[^']|'')*'|[^\s'])+", line)
    while words:
        part = words.pop(0)
        while words and len(part + words[0]) <= _COLUMNS:
            part += words.pop(0)
        yield part
        if words:
            words[0] = f"    {words[0].strip()}"
