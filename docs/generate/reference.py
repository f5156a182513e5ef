"""The commands as one Markdown page."""

import textwrap
from collections.abc import Iterator
from typing import Final

from commands import Command, Option
from settings import others, secret_of, statuses

_WIDTH: Final = 120  # columns, as of all pages
_HEAD = """\
# Reference

Made from the programs themselves by `make docs`; a test fails when it says anything else than they do.

Where an option has a variable, the option wins, and an empty variable counts as unset. The options of a program stand
before its command: `mailroom-send --ses-source ann@example.com check`.
"""


def reference(programs: list[Command]) -> str:
    """Return the page."""
    return "\n".join([_HEAD, *(line for program in programs for line in _program(program)), *_variables(programs)])


def _program(program: Command) -> Iterator[str]:
    for command in program.all():
        yield from _command(command, "##" if command is program else "###")
    yield f"### Exit statuses of {program.path}\n"
    yield "A command may have others of its own; its text says so.\n"
    yield from _table(("status", "says"), statuses(program))


def _command(command: Command, heading: str) -> Iterator[str]:
    yield f"{heading} {command.path}\n"
    yield f"    {command.usage}\n"
    for paragraph in (*command.paragraphs, command.epilog):
        if paragraph:
            yield _wrapped(_escaped(paragraph))
    if command.commands:
        links = (f"[{below.path}](#{below.path.replace(' ', '-')})" for below in command.commands)
        yield _wrapped(f"Commands: {', '.join(links)}.")
    yield "\n".join(map(_option, command.options)) + "\n"


def _option(option: Option) -> str:
    """Return an item of a list: a row of a table with so much in it would be too long a line."""
    names = ", ".join(f"`{name}`" for name in option.names)
    metavar = f" {_escaped(option.metavar)}" if option.metavar else ""
    default = "required" if option.required else f"default {_code(option.default)}" if option.default else ""
    facts = ", ".join(fact for fact in (_code(option.variable), default) if fact)
    allowed = f" Allowed: {_escaped(option.allowed)}." if option.allowed else ""
    text = f"{names}{metavar}{f' ({facts})' if facts else ''}: {_escaped(option.text)}{allowed}"
    return textwrap.fill(
        text, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _variables(programs: list[Command]) -> Iterator[str]:
    rows: dict[str, tuple[list[str], str]] = {}
    for program in programs:
        for name, text in _variables_of(program):
            rows.setdefault(name, ([], text))[0].append(program.path.removeprefix("mailroom-"))
    yield "## Environment\n"
    yield from _table(
        ("variable", "program", "is"),
        ((_code(name), ", ".join(users), text) for name, (users, text) in sorted(rows.items())),
    )


def _variables_of(program: Command) -> Iterator[tuple[str, str]]:
    for option in (option for command in program.all() for option in command.options if option.variable):
        if secret := secret_of(option):
            yield secret, f"a secret, never an option; or in the file that `{option.variable}` names"
        yield option.variable, f"`{option.names[-1]}`"
    for name, text in others(program).items():
        yield name, _escaped(text)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)) + "\n"


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _escaped(text: str) -> str:
    for character in "\\|<>*[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;")
