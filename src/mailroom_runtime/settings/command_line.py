"""Runs a program's command, and turns an error into one log line and an exit status."""

import sys
from collections.abc import Mapping
from typing import NoReturn

import click

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.log import Log

_USAGE = 2
"""The exit status for a wrong command line."""
_INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the number of the signal, as in shells."""


def run(command: click.Command, program: str, log: Log, examples: Mapping[str, str] | None = None) -> NoReturn:
    """Run the command of a program, and exit with 0, 1, 2 or 130 (docs/settings.md).

    `examples` has an example value for each required option.
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
    """Return one line that names the wrong variable and option, and the help to read."""
    if not isinstance(error, click.BadParameter) or error.param is None:
        return f"{_ended(error.format_message())} {see}"
    option = next(iter(error.param.opts), "")
    if isinstance(error, click.MissingParameter):
        return f"give {option}, such as {examples.get(option, error.param.make_metavar(ctx))}. {see}"
    variables = [error.param.envvar] if isinstance(error.param.envvar, str) else []
    text = f"{' / '.join([*variables, option])}: {error.message}"
    return text if ctx.parent is None else f"{_ended(text)} {see}"


def _ended(text: str) -> str:
    """Return the text with a full stop, unless it ends with a mark already."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
