"""The command prune."""

from datetime import UTC, datetime, timedelta

import click

from mailroom_collector.operations.commands.options import Duration
from mailroom_collector.operations.commands.target import url_and_queue
from mailroom_collector.operations.queries.removal import SHORTEST, Removal, removals
from mailroom_collector.operations.queries.session import open_session
from mailroom_collector.operations.terminal.progress_bar import ProgressBar
from mailroom_collector.operations.text.durations import stamp
from mailroom_runtime.errors import MailroomError, SettingError
from mailroom_runtime.process.wakeup import Wakeup
from mailroom_runtime.words import counted


@click.command()
@click.option(
    "--older-than", type=Duration(), required=True, metavar="DURATION",
    help="The age, such as 90d: a number and w, d, h, m or s. At least 1d.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only count what would be removed.")
@click.pass_context
def prune(ctx: click.Context, older_than: timedelta, dry_run: bool) -> None:
    """Remove old settled deliveries from the ledger.

    It removes a delivery if it was settled longer ago than the limit, and its token is expired or consumed. Such a
    token is never mailed again. The tokens stay: they belong to the application. The command works in small batches,
    and pipelines may run meanwhile. You may stop it at any time and run it again.
    """
    if older_than < SHORTEST:
        raise SettingError("--older-than is less than 1d", "give 1d or more: a younger delivery may still be in use")
    url, queue = url_and_queue(ctx)
    before = datetime.now(UTC) - older_than
    with open_session(url, queue) as connection, Wakeup() as wakeup, ProgressBar(before) as bar:
        removal = Removal()
        for removal in removals(connection, queue, older_than, dry_run=dry_run):
            bar.reached(removal.reached, removal.total)
            if wakeup.signals():
                break
    click.echo(_report(removal, before, dry_run=dry_run))
    if not removal.is_end:
        raise MailroomError("a signal stopped prune before its end", "run it again to continue")


def _report(removal: Removal, before: datetime, *, dry_run: bool) -> str:
    removed = f"{'would remove' if dry_run else 'removed'} {counted(removal.total, 'delivery', 'deliveries')}"
    counts = ", ".join(f"{state} {count:,}" for state, count in removal.removed.items() if count)
    return f"{removed} settled before {stamp(before)} UTC{f': {counts}' if counts else ''}"
