"""The options and option types of several commands of an operator."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import click

from mailroom_collector.operations.figures import Choice
from mailroom_collector.operations.text.durations import DURATION_WANTED, MOMENT_WANTED, parse_duration, parse_moment
from mailroom_runtime.errors import SettingError
from mailroom_runtime.settings.options import Decorator, Whole
from mailroom_runtime.words import is_storable


class Duration(click.types.StringParamType):
    """A duration in seconds, minutes, hours, days or weeks."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the timedelta. Raises click.BadParameter that says what is allowed."""
        try:
            return value if isinstance(value, timedelta) else parse_duration(value)
        except ValueError:
            self.fail(f"'{value}' is not allowed; give {DURATION_WANTED}", param, ctx)


class Moment(click.types.StringParamType):
    """A time, or a duration that says how long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the datetime. Raises click.BadParameter that says what is allowed."""
        try:
            return value if isinstance(value, datetime) else parse_moment(value, datetime.now(UTC))
        except (ValueError, OverflowError):
            self.fail(f"'{value}' is not allowed; give {MOMENT_WANTED}", param, ctx)


_TOKEN = Whole(1, 2**63 - 1, shows_range=False)
_CHOICE: tuple[Decorator, ...] = (
    click.option(
        "--token", "tokens", type=_TOKEN, multiple=True, metavar="ID", help="This token. May be given several times."
    ),
    click.option("--account", metavar="ID|LOGIN|EMAIL", help="All tokens of this account."),
    click.option(
        "--reason", metavar="TEXT", help="All tokens whose reason contains this text, in upper or lower case."
    ),
    click.option(
        "--since", type=Moment(), metavar="TIME",
        help="All tokens that failed or were skipped since this time: 2h (ago), or 2026-01-31T23:59 (UTC).",
    ),
    click.option(
        "--until", type=Moment(), metavar="TIME", help="All tokens that failed or were skipped before this time."
    ),
)  # fmt: skip


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose unmailed tokens to a command. The command gets the choice as `chosen`."""

    @wraps(command)
    def with_choice(
        *args: Any,
        tokens: tuple[int, ...],
        account: str | None,
        reason: str | None,
        since: datetime | None,
        until: datetime | None,
        **kwargs: Any,
    ) -> Any:
        return command(*args, chosen=_checked(Choice(tokens or None, account, reason, since, until)), **kwargs)

    decorated: Callable[..., Any] = with_choice
    for option in reversed(_CHOICE):
        decorated = option(decorated)
    return decorated


def _checked(chosen: Choice) -> Choice:
    """Return the choice. Raises SettingError when nothing can match it."""
    for name, text in (("--account", chosen.account), ("--reason", chosen.reason)):
        if text is not None and (not text or not is_storable(text)):
            raise SettingError(f"{name} {'is not valid text' if text else 'is empty'}", "leave it out, or give a text")
    if chosen.since is not None and chosen.until is not None and chosen.since >= chosen.until:
        raise SettingError("--since is not before --until", "nothing can be between them")
    return chosen
