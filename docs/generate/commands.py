"""The two programs as data: walks their click commands, and knows nothing of any one of them."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mailroom_collector.cli import cli as collect
from mailroom_sender.cli import cli as send

PROGRAMS = {"mailroom-collect": collect, "mailroom-send": send}
_BAD = "\0"  # no type takes it


@dataclass(frozen=True)
class Option:
    """One option, and the variable that stands for it."""

    names: tuple[str, ...]
    metavar: str
    variable: str
    default: str
    allowed: str
    required: bool
    text: str


@dataclass(frozen=True)
class Command:
    """A program, a command of it, or a command of a command; each paragraph is one line."""

    path: str
    usage: str
    paragraphs: tuple[str, ...]
    epilog: str
    options: tuple[Option, ...]
    commands: tuple["Command", ...]

    def all(self) -> Iterator["Command"]:
        """Yield this command, then all below it."""
        yield self
        for command in self.commands:
            yield from command.all()


def programs() -> list[Command]:
    """Return both programs."""
    return [_command(command, _context(command, name)) for name, command in PROGRAMS.items()]


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def _command(command: click.Command, ctx: click.Context) -> Command:
    below: list[Command] = []
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            if child is not None and not child.hidden:
                below.append(_command(child, _context(child, name, ctx)))
    return Command(
        path=ctx.command_path,
        usage=" ".join([ctx.command_path, *command.collect_usage_pieces(ctx)]),
        paragraphs=_paragraphs(command.help or ""),
        epilog=" ".join((command.epilog or "").split()),
        options=tuple(
            _option(param, ctx)
            for param in command.get_params(ctx)
            if isinstance(param, click.Option) and not param.hidden
        ),
        commands=tuple(below),
    )


def _paragraphs(text: str) -> tuple[str, ...]:
    shown = inspect.cleandoc(text).partition("\f")[0]
    return tuple(" ".join(part.replace("\b", "").split()) for part in shown.split("\n\n") if part.strip())


def _option(option: click.Option, ctx: click.Context) -> Option:
    takes_value = not option.is_flag and not option.count
    return Option(
        names=tuple(sorted([*option.opts, *option.secondary_opts], key=len)),
        metavar=option.make_metavar(ctx) if takes_value else "",
        variable=option.envvar if isinstance(option.envvar, str) else "",
        default=_written(option.default) if takes_value else "",
        allowed=_allowed(option) if takes_value else "",
        required=option.required,
        text=(option.help or "").strip(),
    )


def _written(default: Any) -> str:
    match default:
        case bool():
            return str(default).lower()
        case str() | int() | float() | Path():
            return str(default)
        case _:
            return ""


def _allowed(option: click.Option) -> str:
    """Return what an option takes, in the words with which it refuses what it does not take."""
    kind = option.type
    if isinstance(kind, click.Choice):
        allowed = " or ".join(map(str, kind.choices))
    elif isinstance(kind, click.Path):
        allowed = "a path"
    else:
        allowed = _refusal(kind)
    return f"{allowed}; alone it means {_written(option.flag_value)}" if _may_stand_alone(option) else allowed


def _may_stand_alone(option: click.Option) -> bool:
    return not option.is_flag and isinstance(option.flag_value, bool)


def _refusal(kind: "click.ParamType[Any]") -> str:
    try:
        kind.convert(_BAD, None, None)
    except click.BadParameter as error:
        return error.message.partition("; give ")[2] or kind.name
    return "text"
