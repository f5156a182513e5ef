"""The group templates."""

import click

from mailroom_runtime.settings.lazy_group import LazyGroup
from mailroom_sender.commands.command_list import TEMPLATES


@click.group(cls=LazyGroup, lazy=TEMPLATES)
def templates() -> None:
    """See and change the mails' texts, here and in SES."""
