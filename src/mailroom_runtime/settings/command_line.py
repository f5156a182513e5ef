"""Runs a program's command: an error becomes one line of the log and an exit status."""

import sys
from collections.abc import Mapping
from typing import NoReturn

import click

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.log import Log

_USAGE = 2
"""The exit status for a wrong command line."""
_INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it: 128 and the number of the signal."""


def run(command: click.Command, program: str, log: Log, examples: Mapping[str, str] | None = None) -> NoReturn:
    """Run the command of a program; exit with 0, 1 or 2 as the README's table says.

    `examples` has a value for each option that must be given.
    """
    sys.exit(_status(command, program, log, examples or {}))


def _status(command: click.Command, program: str, log: Log, examples: Mapping[str, str]) -> int:
    try:
        return command.main(prog_name=program, standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return _USAGE
    except click.UsageError as error:
        see = f"See '{program if error.ctx is None else error.ctx.command_path} --help'."
        text = explain(error, see, error.ctx or click.Context(command), examples)
        log(text, "error", event="error", hint=see, exit_status=_USAGE)
        return _USAGE
    except MailroomError as error:
        log(str(error), "error", event="error", hint=error.hint or None, exit_status=error.status)
        return error.status
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED


def explain(error: click.UsageError, see: str, ctx: click.Context, examples: Mapping[str, str]) -> str:
    """Return one line that names the variable and the option that are wrong, and the help that tells more."""
    if not isinstance(error, click.BadParameter) or error.param is None:
        return f"{_ended(error.format_message())} {see}"
    option = next(iter(error.param.opts), "")
    if isinstance(error, click.MissingParameter):
        return f"give {option}, such as {examples.get(option, error.param.make_metavar(ctx))}. {see}"
    variables = [error.param.envvar] if isinstance(error.param.envvar, str) else []
    text = f"{' / '.join([*variables, option])}: {error.message}"
    return text if ctx.parent is None else f"{_ended(text)} {see}"


def _ended(text: str) -> str:
    """Return text with a mark at its end."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
