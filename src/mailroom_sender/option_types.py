"""The option types of the sender: which values are allowed, and the errors for other values."""

from typing import Any

import click

from mailroom_runtime.settings.options import Text
from mailroom_sender.address.base_url import checked_base_url
from mailroom_sender.address.from_address import ALLOWED, UnfitSource, encode_source


class BaseUrl(click.types.StringParamType):
    """The beginning of the links in mails."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the URL without a slash at its end. Raises click.BadParameter that says what is allowed."""
        try:
            return checked_base_url(value)
        except ValueError as error:
            self.fail(f"'{value}' is not allowed; give {error}", param, ctx)


class Source(click.types.StringParamType):
    """The From."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the From in the form that SES accepts. Raises click.BadParameter; it says what is wrong."""
        try:
            return encode_source(value)
        except UnfitSource as error:
            self.fail(f"'{value}' is not allowed: {error}; give {ALLOWED}", param, ctx)


# SES API reference, SendBulkTemplatedEmail: [A-Za-z0-9_-]; a set's name has at most 64.
CONFIG_SET = Text("name", "[A-Za-z0-9_-]{1,64}", "1 to 64 of the characters A-Z a-z 0-9 _ -")
