"""A program as a manual page, in mdoc(7)."""

import textwrap
from collections.abc import Iterator

from commands import Command, Option
from settings import others, secret_of, statuses

_NAMES = {
    "mailroom-collect": "take waiting tokens from PostgreSQL, sign and print them",
    "mailroom-send": "send lines of mailroom-collect through AWS SES",
}
_EXAMPLES = {
    "mailroom-collect": [
        ("Create the schema, or bring it up to date:", "mailroom-collect migrate"),
        ("See what would be sent:", "mailroom-collect | MAILROOM_DEBUG=true mailroom-send"),
        ("Run the pipeline:", "mailroom-collect | mailroom-send"),
        ("Check the secret of a link, in $FIELD:", "echo $FIELD | mailroom-collect verify --action activation"),
    ],
    "mailroom-send": [
        ("Bring the mails' texts to SES:", "mailroom-send templates push"),
        ("See whether all is ready:", "mailroom-send check"),
        ("Run the pipeline:", "mailroom-collect | mailroom-send"),
        ("Send again what was set aside:", "cat output/replay_*.csv | mailroom-send"),
    ],
}  # fmt: skip


def manual(program: Command, date: str) -> str:
    """Return the page."""
    return "\n".join([*_head(program, date), *_body(program), *_tail(program)]) + "\n"


def _head(program: Command, date: str) -> Iterator[str]:
    yield f".Dd {date}"
    yield f".Dt {program.path.upper()} 1"
    yield ".Os mailroom"
    yield ".Sh NAME"
    yield f".Nm {program.path}"
    yield f".Nd {_text(_NAMES[program.path])}"
    yield ".Sh SYNOPSIS"
    for command in program.all():
        if not command.commands or command is program:
            yield from _synopsis(program, command)


def _synopsis(program: Command, command: Command) -> Iterator[str]:
    yield f".Nm {program.path}"
    if command is not program:
        yield f".Cm {command.path.removeprefix(program.path).strip()}"
    for piece in command.usage.removeprefix(command.path).split():
        if piece != "[ARGS]...":  # of the command, whose own line tells them
            yield f".Op Ar {_text(piece.strip('[].').lower())}{' ...' if piece.endswith('...') else ''}"


def _body(program: Command) -> Iterator[str]:
    yield ".Sh DESCRIPTION"
    yield from _paragraphs([*program.paragraphs, program.epilog])
    yield ".Pp"
    yield "Options of the program stand before a command."
    yield from _sentences(
        "Each has a variable of the same words; the option wins, and an empty variable counts as unset."
    )
    yield ".Sh OPTIONS"
    yield from _options(program)
    yield ".Sh COMMANDS"
    for command in list(program.all())[1:]:
        yield f".Ss {command.path.removeprefix(program.path).strip()}"
        yield from _paragraphs([*command.paragraphs, command.epilog])
        if any("--help" not in option.names for option in command.options):
            yield from _options(command)


def _options(command: Command) -> Iterator[str]:
    yield ".Bl -tag -width Ds"
    for option in command.options:
        if "--help" in option.names and " " in command.path:
            continue  # said once, for the program
        flags = " , ".join(f"Fl {_text(name.removeprefix('-'))}" for name in option.names)
        yield f".It {flags}{f' Ar {_text(option.metavar)}' if option.metavar else ''}"
        yield from _sentences(option.text)
        yield from _facts(option)
    yield ".El"


def _facts(option: Option) -> Iterator[str]:
    if option.allowed not in ("", "text"):
        yield from _sentences(f"Allowed: {option.allowed}.")
    if option.required:
        yield "Required."
    elif option.default:
        yield _text(f"Default: {option.default}.")
    if option.variable:
        yield "Variable:"
        yield f".Ev {option.variable} ."


def _tail(program: Command) -> Iterator[str]:
    yield ".Sh ENVIRONMENT"
    yield ".Bl -tag -width Ds"
    for option in program.options:
        if secret := secret_of(option):
            yield f".It Ev {secret}"
            yield "A secret, never an option; or in the file that"
            yield f".Ev {option.variable}"
            yield "names."
    for name, text in others(program).items():
        yield f".It Ev {name}"
        yield _text(f"{text[0].upper()}{text[1:]}.")
    yield ".El"
    yield ".Pp"
    yield "The variables of the options stand with them, above."
    yield ".Sh EXIT STATUS"
    yield ".Bl -tag -width Ds"
    for status, text in statuses(program):
        yield f".It {status}"
        yield from _sentences(text)
    yield ".El"
    yield ".Sh EXAMPLES"
    for number, (what, command) in enumerate(_EXAMPLES[program.path]):
        yield from [".Pp"][: number and 1]
        yield _text(what)
        yield f".Dl {_text(command)}"
    yield ".Sh SEE ALSO"
    yield from (f".Xr {name} 1" for name in _NAMES if name != program.path)


def _paragraphs(paragraphs: list[str]) -> Iterator[str]:
    for number, paragraph in enumerate(filter(None, paragraphs)):
        yield from [".Pp"][: number and 1]
        yield from _sentences(paragraph)


def _sentences(text: str) -> Iterator[str]:
    """Yield each sentence on lines of its own, as mdoc wants it, and none too long."""
    for sentence in text.replace(". ", ".\n").splitlines():
        yield from map(_text, textwrap.wrap(sentence, 72, break_long_words=False, break_on_hyphens=False))


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
