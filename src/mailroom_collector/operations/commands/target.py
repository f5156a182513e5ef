"""Which database and queue a command is about."""

import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from mailroom_runtime.postgres.url import DatabaseUrl, required_url

if TYPE_CHECKING:
    from mailroom_runtime.postgres.connection import DeadlineConnection


def url_and_queue(ctx: click.Context) -> tuple[DatabaseUrl, str]:
    """Return both as the program's options give them. Raises SettingError."""
    given = ctx.find_root().params
    return required_url(given["database_url_file"], os.environ, given["schema_name"]), given["queue_name"]


def session(url: DatabaseUrl, queue: str) -> AbstractContextManager["DeadlineConnection"]:
    """Connect. Raises like open_session()."""
    from mailroom_collector.operations.queries.session import open_session

    return open_session(url, queue)
