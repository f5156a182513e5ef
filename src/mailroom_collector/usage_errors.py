"""What click says of a wrong command line, as one line for people."""

from typing import Final

import click

_EXAMPLES: Final = {"--older-than": "90d", "--port": "9177", "--action": "activation"}
"""Values of the options that have to be given."""


def explain(error: click.UsageError, program: str) -> str:
    """Return one line that names the variable and the option that are wrong, and the help that tells more."""
    path = program if error.ctx is None else error.ctx.command_path
    see = f"See '{path} --help'."
    if isinstance(error, click.BadParameter) and error.param is not None:
        option = next(iter(error.param.opts), "")
        if isinstance(error, click.MissingParameter):
            return f"give {option}, such as {_example(option, error.param, error.ctx)}. {see}"
        names = [error.param.envvar] if isinstance(error.param.envvar, str) else []
        text = f"{' / '.join([*names, option])}: {error.message}"
        return text if error.ctx is None or error.ctx.parent is None else f"{_ended(text)} {see}"
    return f"{_ended(error.format_message())} {see}"


def _example(option: str, param: click.Parameter, ctx: click.Context | None) -> str:
    return _EXAMPLES.get(option) or param.make_metavar(ctx or click.Context(click.Command(None)))


def _ended(text: str) -> str:
    """Return text as a sentence that has ended."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
