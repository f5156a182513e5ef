"""Types of option values, and the options that both programs have."""

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from mailroom_runtime.errors import SettingError
from mailroom_runtime.log import Log
from mailroom_runtime.schema_name import SCHEMA, SCHEMA_WANTED
from mailroom_runtime.settings.setting_names import unknown_settings

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from click.types import OptionHelpExtra

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)


class Whole(click.IntRange):
    """A whole number in a range. Unlike int(), it allows no spaces, no underscores and no digits but 0 to 9."""

    name = "whole number"

    def __init__(self, low: int, high: int, *, shows_range: bool = True) -> None:
        """`shows_range`: the help names the range."""
        super().__init__(low, high)
        self._low, self._high = low, high
        self._shows_range = shows_range

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Raises click.BadParameter that says what is allowed."""
        number = int(value) if isinstance(value, int) or _WHOLE.fullmatch(value) else None
        if number is None or not self._low <= number <= self._high:
            self.fail(f"'{value}' is not allowed; give a whole number from {self._low} to {self._high}", param, ctx)
        return number

    def _describe_range(self) -> str:
        """Return the range as the help shows it."""
        return f"{self._low} to {self._high}" if self._shows_range else ""


class Flag(click.types.BoolParamType):
    """True or false, in one of the usual words."""

    name = "true|false"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the truth value. Raises click.BadParameter that says what is allowed."""
        known = {
            "true": True,
            "1": True,
            "yes": True,
            "on": True,
            "false": False,
            "0": False,
            "no": False,
            "off": False,
        }
        if isinstance(value, bool):
            return value
        if value.lower() not in known:
            self.fail(f"'{value}' is not allowed; give true or false", param, ctx)
        return known[value.lower()]

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> "list[CompletionItem]":
        """Offer true and false."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a completion needs it

        return [CompletionItem(word) for word in ("true", "false") if word.startswith(incomplete)]


class FlagOption(click.Option):
    """An option whose value is true or false. --help shows its default in lower case."""

    def get_help_extra(self, ctx: click.Context) -> "OptionHelpExtra":
        """Return what --help shows in brackets."""
        extra = super().get_help_extra(ctx)
        extra["default"] = extra["default"].lower()
        return extra


class Text(click.types.StringParamType):
    """Text that fits a pattern."""

    def __init__(self, name: str, pattern: str, allowed: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern, re.ASCII)
        self._allowed = allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text. Raises click.BadParameter that says what is allowed."""
        if not self._pattern.fullmatch(value):
            self.fail(f"'{value}' is not allowed; give {self._allowed}", param, ctx)
        return value


class Name(click.types.StringParamType):
    """A PostgreSQL name: 1 to 63 bytes (NAMEDATALEN - 1), without control characters."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name. Raises click.BadParameter that says what is allowed."""
        if not value.isprintable() or not 1 <= len(value.encode()) <= 63:  # noqa: PLR2004
            self.fail(f"'{value}' is not allowed; give a name of 1 to 63 bytes, without control characters", param, ctx)
        return value


database_url_file: Decorator = click.option(
    "--database-url-file", type=click.Path(readable=False), envvar="MAILROOM_DATABASE_URL_FILE", show_envvar=True,
    metavar="FILE",
    help="The file that holds the database URL. It is read again before each connection.",
)  # fmt: skip
"""The type is a path, so that a shell completes it. Whether the file can be read is found out when it is read."""


SCHEMA_NAME: Final = Text("name", SCHEMA, SCHEMA_WANTED)
schema_name: Decorator = click.option(
    "--schema-name", type=SCHEMA_NAME, envvar="MAILROOM_SCHEMA_NAME", show_envvar=True, metavar="NAME",
    help="The schema that mailroom is in: characters a-z 0-9 _. If unset, the search path finds it.",
)  # fmt: skip


queue_name: Decorator = click.option(
    "--queue-name", type=Name(), default="mailroom", envvar="MAILROOM_QUEUE_NAME", show_envvar=True,
    show_default=True, metavar="NAME", help="The queue: the job_type of a row of jobs. 1 to 63 bytes.",
)  # fmt: skip


def log_format(log: Log) -> Decorator:
    """Return the option that chooses the format of this log."""

    def choose(_: click.Context, __: click.Parameter, value: str) -> None:
        log.as_json = value == "json"

    return click.option(
        "--log-format", type=click.Choice(["text", "json"]), default="text", envvar="MAILROOM_LOG_FORMAT",
        show_envvar=True, show_default=True, metavar="text|json",
        help="Log each event as a line of text or as a JSON object.",
        is_eager=True, expose_value=False, callback=choose,  # set first: errors in other options are logged
    )  # fmt: skip


def warn_of_unknown_settings(log: Log) -> None:
    """Warn of each environment variable that looks like a setting and is none. Its name is probably mistyped."""
    for unknown in unknown_settings(os.environ):
        log(
            str(unknown),
            "warning",
            event="unknown_setting",
            variable=unknown.variable,
            nearest=unknown.nearest or None,
        )


def open_standard_descriptors(needed: int, name: str, hint: str) -> None:
    """Open /dev/null in place of closed standard descriptors. Otherwise a socket could get such a number.

    Rows and log lines would then go into the socket. Raises SettingError, with the hint, when the descriptor `needed`
    is closed; `name` is its name.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            if fd == needed:
                raise SettingError(f"{name} is closed", hint) from None
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is fd
