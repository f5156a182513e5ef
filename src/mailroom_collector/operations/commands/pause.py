"""The commands pause and resume."""

from typing import Final

import click

from mailroom_collector.operations.commands.target import url_and_queue
from mailroom_collector.operations.queries.session import open_session, translated_for_operator
from mailroom_collector.operations.text.durations import stamp
from mailroom_runtime.errors import MailroomError, SettingError

_LONGEST_REASON: Final = 500  # characters


@click.command()
@click.option("--reason", metavar="TEXT", help="The reason, which status shows; at most 500 characters.")
@click.pass_context
def pause(ctx: click.Context, reason: str | None) -> None:
    """Stop sending the mails of the queue until resume.

    All pipelines of the queue stop printing and sending rows. A restart does not change that. The tokens wait, and
    still expire. Calls to SES that are in progress are finished. If the queue is paused already, the new reason
    replaces the old one.
    """
    if reason is not None and not (reason.isprintable() and 1 <= len(reason) <= _LONGEST_REASON):
        raise SettingError("--reason is not allowed", f"give 1 to {_LONGEST_REASON} characters in one line")
    url, queue = url_and_queue(ctx)
    with open_session(url, queue) as connection, translated_for_operator():
        row = connection.execute(
            "SELECT paused_at, sending FROM mailroom.mailroom_pause(%s::mailroom.job_type, %s)", (queue, reason)
        ).fetchone()
    if row is None:  # not possible: the function returns one row
        raise MailroomError("the database gave no answer")
    since, sending = row
    in_progress = f"; mails that are being sent now: {sending:,}" if sending else ""
    click.echo(f"queue {queue} is paused since {stamp(since)} UTC{in_progress}")


@click.command()
@click.pass_context
def resume(ctx: click.Context) -> None:
    """Send the mails of a paused queue again.

    Waiting tokens are mailed, unless they have expired during the pause.
    """
    url, queue = url_and_queue(ctx)
    with open_session(url, queue) as connection, translated_for_operator():
        row = connection.execute("SELECT mailroom.mailroom_resume(%s::mailroom.job_type)", (queue,)).fetchone()
    since = row[0] if row else None
    if since is None:
        click.echo(f"queue {queue} is not paused")
    else:
        click.echo(f"queue {queue} is resumed; it was paused since {stamp(since)} UTC")
