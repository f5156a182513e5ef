"""The commands pause and resume."""

from typing import Final

import click

from mailroom_collector.operations.commands.target import session, url_and_queue
from mailroom_runtime.errors import MailroomError, SettingError

_LONGEST_REASON: Final = 500  # characters


@click.command()
@click.option("--reason", metavar="TEXT", help="Why, for whoever looks at status; at most 500 characters.")
@click.pass_context
def pause(ctx: click.Context, reason: str | None) -> None:
    """Let the queue hand out and send nothing more.

    For all pipelines of the queue, and until resume, whatever is restarted meanwhile. Tokens wait, and still expire.
    A call to SES that is in progress is finished. Run again, it replaces the reason.
    """
    if reason is not None and not (reason.isprintable() and 1 <= len(reason) <= _LONGEST_REASON):
        raise SettingError("--reason is not allowed", f"give 1 to {_LONGEST_REASON} characters in one line")
    url, queue = url_and_queue(ctx)
    from mailroom_collector.operations.queries.session import asked
    from mailroom_collector.operations.text.durations import stamp

    with session(url, queue) as connection, asked():
        row = connection.execute(
            "SELECT paused_at, sending FROM mailroom.mailroom_pause(%s::mailroom.job_type, %s)", (queue, reason)
        ).fetchone()
    if row is None:  # a function that returns a table of one row
        raise MailroomError("the database gave no answer")
    since, sending = row
    under_way = f"; mails that are being sent now: {sending:,}" if sending else ""
    click.echo(f"queue {queue} is paused since {stamp(since)} UTC{under_way}")


@click.command()
@click.pass_context
def resume(ctx: click.Context) -> None:
    """Let a paused queue go on.

    What waited is mailed as far as it may still be: what expired meanwhile is not.
    """
    url, queue = url_and_queue(ctx)
    from mailroom_collector.operations.queries.session import asked
    from mailroom_collector.operations.text.durations import stamp

    with session(url, queue) as connection, asked():
        row = connection.execute("SELECT mailroom.mailroom_resume(%s::mailroom.job_type)", (queue,)).fetchone()
    since = row[0] if row else None
    click.echo(f"queue {queue} goes on" if since is None else f"queue {queue} goes on; paused since {stamp(since)} UTC")


COMMANDS: Final[tuple[click.Command, ...]] = (pause, resume)
