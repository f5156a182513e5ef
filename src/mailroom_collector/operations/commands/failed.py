"""The command failed."""

import json
from collections.abc import Sequence

import click

from mailroom_collector.operations.commands.options import choice_options
from mailroom_collector.operations.commands.target import url_and_queue
from mailroom_collector.operations.figures import Choice, UnsentDelivery
from mailroom_collector.operations.queries.failures import read_failures
from mailroom_collector.operations.queries.session import open_session
from mailroom_collector.operations.queries.unmatched import read_unmatched
from mailroom_collector.operations.terminal.style import stdout_style
from mailroom_collector.operations.text import delivery_list
from mailroom_runtime.settings.options import Whole


@click.command()
@choice_options
@click.option(
    "--limit", type=Whole(1, 1_000_000), default=20, show_default=True, metavar="ROWS",
    help="The largest number of tokens to show.",
)  # fmt: skip
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object a line, for programs.")
@click.pass_context
def failed(ctx: click.Context, chosen: Choice, limit: int, is_json: bool) -> None:
    """List what was not mailed, newest first.

    That is every token that failed, and every token that was skipped because it was stale.
    """
    url, queue = url_and_queue(ctx)
    with open_session(url, queue) as connection:
        failures = read_failures(connection, queue, chosen, limit + 1)
        unmatched = read_unmatched(connection, queue, chosen, failures) if len(failures) <= limit else None
    _print(failures[:limit], is_json=is_json)
    for words in delivery_list.unmatched(chosen, unmatched) if unmatched else ():
        click.echo(words, err=True)
    if len(failures) > limit:
        click.echo(f"there are more than {limit:,}; see them with --limit", err=True)


def _print(failures: Sequence[UnsentDelivery], *, is_json: bool) -> None:
    if is_json:
        for one in failures:
            click.echo(json.dumps(delivery_list.as_json(one)))
        return
    style = stdout_style()
    for line in delivery_list.text(failures, style.columns):
        click.echo(style.line(line))
    if not failures:
        click.echo("no token that matches failed or was skipped", err=True)
