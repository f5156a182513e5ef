"""The command status."""

import json
import sys
from dataclasses import replace

import click

from mailroom_collector.ledger.outlook import read_outlook
from mailroom_collector.operations.commands.target import url_and_queue
from mailroom_collector.operations.queries.live_status import LiveStatus
from mailroom_collector.operations.queries.overview import read_progress, read_public
from mailroom_collector.operations.queries.session import one_snapshot, open_session
from mailroom_collector.operations.terminal.live_screen import follow, watch
from mailroom_collector.operations.terminal.style import TerminalStyle, stdout_style
from mailroom_collector.operations.text.health import Health, health
from mailroom_collector.operations.text.status_json import status_json
from mailroom_collector.operations.text.status_text import status_text
from mailroom_runtime.errors import MailroomError, OperatorNeeded, SettingError
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.settings.options import Whole

_PULSE_SECONDS = 60


@click.command()
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object, for programs.")
@click.option("--watch", "is_watch", is_flag=True, help="Show it again about every second, until q or Ctrl-C.")
@click.option(
    "--check", "is_check", is_flag=True, help="Only check whether mails are sent: exit with 0 if they are, else with 1."
)
@click.option(
    "--max-age", type=Whole(1, 86_400), metavar="SECONDS", help="Required with --check: how long a token may wait."
)
@click.pass_context
def status(ctx: click.Context, is_json: bool, is_watch: bool, is_check: bool, max_age: int | None) -> None:
    """Show what waits, is in progress, was sent, and was not sent.

    The command changes nothing. It also tests whether notifications arrive. With --check it prints one line. It then
    exits with 1 if the oldest token that may still be mailed has waited for longer than --max-age, if mails expire
    before their turn at the present rate, or if the queue is paused; with 2 if the database can't be reached; else with
    0.
    """
    if is_check != (max_age is not None):
        raise SettingError("--check and --max-age go together", "give both: --check --max-age 60")
    if is_check and (is_watch or is_json):
        raise SettingError("--check prints one line", "leave out --watch and --json")
    url, queue = url_and_queue(ctx)
    style = stdout_style()
    if max_age is not None:
        result = _health(url, queue, max_age)
        click.echo(result.words)
        ctx.exit(0 if result.well else 1)
    elif is_watch:
        _watch(url, queue, style, is_json=is_json)
    else:
        _show(url, queue, style, is_json=is_json)


def _health(url: DatabaseUrl, queue: str, max_age: float) -> Health:
    try:
        with open_session(url, queue) as connection, one_snapshot(connection):
            progress, outlook = read_progress(connection, queue), read_outlook(connection, queue)
            return health(progress, max_age, read_public(connection), outlook)
    except MailroomError as error:
        raise OperatorNeeded(str(error)) from None  # exit status 1 would mean that mails are not sent


def _watch(url: DatabaseUrl, queue: str, style: TerminalStyle, *, is_json: bool) -> None:
    live = LiveStatus(url, queue)
    try:
        if sys.stdout.isatty() and not is_json:
            watch(live, style)
        else:
            follow(live, style, is_json=is_json)
    finally:
        live.close()


def _show(url: DatabaseUrl, queue: str, style: TerminalStyle, *, is_json: bool) -> None:
    live = LiveStatus(url, queue, _PULSE_SECONDS)
    try:
        overview = live.read()
    finally:
        live.close()
    if is_json:
        click.echo(json.dumps(status_json(overview)))
        return
    if not any(overview.pulse):
        overview = replace(overview, pulse=())
    for line in status_text(overview, style.columns, unicode=style.unicode):
        click.echo(style.line(line))
