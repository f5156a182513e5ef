"""The commands status, failed, retry, prune and metrics, and their options; each imports itself what is slow.

COMMANDS has all commands of an operator, in the order of the help.
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from mailroom_collector.operations.commands.confirmation import agreed
from mailroom_collector.operations.commands.pause import COMMANDS as PAUSE_COMMANDS
from mailroom_collector.operations.commands.target import session as _session
from mailroom_collector.operations.commands.target import url_and_queue as _url_and_queue
from mailroom_runtime.errors import MailroomError, OperatorNeeded, SettingError
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.settings.options import Whole
from mailroom_runtime.words import counted

if TYPE_CHECKING:
    from mailroom_collector.operations.figures import Choice, Overview
    from mailroom_collector.operations.text.status import Health

_MANY: Final = 10
"""Deliveries that are put back without being asked."""
_PULSE_SECONDS: Final = 60
_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Duration(click.types.StringParamType):
    """A duration in seconds, minutes, hours, days, weeks."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the timedelta. Raises click.BadParameter that says what is allowed."""
        from mailroom_collector.operations.text.durations import DURATION_WANTED, parse_duration

        try:
            return value if isinstance(value, timedelta) else parse_duration(value)
        except ValueError:
            self.fail(f"'{value}' is not allowed; give {DURATION_WANTED}", param, ctx)


class _Moment(click.types.StringParamType):
    """A time, or a duration that says how long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the datetime. Raises click.BadParameter that says what is allowed."""
        from mailroom_collector.operations.text.durations import MOMENT_WANTED, parse_moment

        try:
            return value if isinstance(value, datetime) else parse_moment(value, datetime.now(UTC))
        except (ValueError, OverflowError):
            self.fail(f"'{value}' is not allowed; give {MOMENT_WANTED}", param, ctx)


_TOKEN = Whole(1, 2**63 - 1, tells_range=False)


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    options: list[_Decorator] = [
        click.option(
            "--token", "tokens", type=_TOKEN, multiple=True, metavar="ID", help="This token; may be repeated."
        ),
        click.option("--account", metavar="ID|LOGIN|EMAIL", help="All of this account."),
        click.option("--reason", metavar="TEXT", help="All whose reason has this text in it, in whatever case."),
        click.option(
            "--since", type=_Moment(), metavar="TIME", help="Given up since then: 2h (ago), or 2026-01-31T23:59 (UTC)."
        ),
        click.option("--until", type=_Moment(), metavar="TIME", help="Given up before then."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _choice(
    tokens: tuple[int, ...], account: str | None, reason: str | None, since: datetime | None, until: datetime | None
) -> "Choice":
    from mailroom_collector.operations.figures import Choice

    for name, text in (("--account", account), ("--reason", reason)):
        if text is not None and (not text or "\0" in text):
            raise SettingError(f"{name} is empty", "leave it out, or say which")
    if since is not None and until is not None and since >= until:
        raise SettingError("--since is not before --until", "nothing can be between them")
    return Choice(tokens or None, account, reason, since, until)


# status


@click.command()
@click.option("--json", "is_json", is_flag=True, help="One JSON object, for programs.")
@click.option("--watch", "is_watch", is_flag=True, help="Go on, every second or so, until q or Ctrl-C.")
@click.option("--check", "is_check", is_flag=True, help="Only say whether mail flows: exit with 0, or with 1.")
@click.option(
    "--max-age", type=Whole(1, 86_400), metavar="SECONDS", help="With --check: how long a token may wait. Needed."
)
@click.pass_context
def status(ctx: click.Context, is_json: bool, is_watch: bool, is_check: bool, max_age: int | None) -> None:
    """Show what waits, is under way, was sent, and was not.

    It only reads, and tests whether notifications arrive. With --check it says in one line whether
    the oldest token that may still be mailed waits for longer than --max-age, and exits with 1 if so
    or the queue is paused, and with 0 if not. Whenever the database can't be asked it exits with 2.
    """
    if is_check != (max_age is not None):
        raise SettingError("--check and --max-age go together", "give both: --check --max-age 60")
    if is_check and (is_watch or is_json):
        raise SettingError("--check prints one line", "leave out --watch and --json")
    url, queue = _url_and_queue(ctx)
    if max_age is not None:
        health = _health(url, queue, max_age)
        click.echo(health.words)
        ctx.exit(0 if health.well else 1)
    from mailroom_collector.operations.terminal.colours import paint

    style = paint()
    if is_watch:
        from mailroom_collector.operations.terminal.live_status import LiveStatus, follow, watch

        watcher = LiveStatus(url, queue)
        try:
            if sys.stdout.isatty() and not is_json:
                watch(watcher, style)
            else:
                follow(watcher, style, is_json=is_json)
        finally:
            watcher.close()
        return
    overview = _overview(url, queue)
    if is_json:
        from mailroom_collector.operations.text.status import as_json

        click.echo(json.dumps(as_json(overview)))
    else:
        from mailroom_collector.operations.text.status import text

        for line in text(overview, style.columns, unicode=style.unicode):
            click.echo(style.line(line))


def _health(url: DatabaseUrl, queue: str, max_age: float) -> "Health":
    from mailroom_collector.operations.queries.overview import read_progress, read_public
    from mailroom_collector.operations.queries.session import one_snapshot
    from mailroom_collector.operations.text.status import check

    try:
        with _session(url, queue) as connection, one_snapshot(connection):
            return check(read_progress(connection, queue), max_age, read_public(connection))
    except MailroomError as error:
        raise OperatorNeeded(str(error)) from None  # 1 says something else here


def _overview(url: DatabaseUrl, queue: str) -> "Overview":
    from mailroom_collector.operations.figures import Overview
    from mailroom_collector.operations.queries.listen_test import ListenTest
    from mailroom_collector.operations.queries.overview import (
        read_history,
        read_progress,
        read_public,
        read_pulse,
        read_sessions,
    )
    from mailroom_collector.operations.queries.session import one_snapshot

    with _session(url, queue) as connection:
        with one_snapshot(connection):
            progress = read_progress(connection, queue)
            history = read_history(connection, queue)
            pulse = read_pulse(connection, queue, _PULSE_SECONDS)
            sessions = read_sessions(connection)
            public = read_public(connection)
        echo = ListenTest(connection, url).call()
    return Overview(queue, progress, history, echo, sessions, pulse if any(pulse) else (), public)


# failed, retry


@click.command()
@_filters
@click.option(
    "--limit", type=Whole(1, 1_000_000), default=20, show_default=True, metavar="ROWS", help="Show at most so many."
)
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line, for programs.")
@click.pass_context
def failed(
    ctx: click.Context,
    tokens: tuple[int, ...],
    account: str | None,
    reason: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    is_json: bool,
) -> None:
    """List what was not mailed, newest first.

    That is what failed, and what was skipped as it was stale when it was its turn.
    """
    choice = _choice(tokens, account, reason, since, until)
    url, queue = _url_and_queue(ctx)
    from mailroom_collector.operations.queries.failures import read_failures
    from mailroom_collector.operations.queries.unmatched import read_unmatched
    from mailroom_collector.operations.terminal.colours import paint
    from mailroom_collector.operations.text import delivery_list

    style = paint()
    with _session(url, queue) as connection:
        failures = read_failures(connection, queue, choice, limit + 1)
        unmatched = read_unmatched(connection, queue, choice, failures) if len(failures) <= limit else None
    shown = failures[:limit]
    if is_json:
        for one in shown:
            click.echo(json.dumps(delivery_list.as_json(one)))
    else:
        for line in delivery_list.text(shown, style.columns):
            click.echo(style.line(line))
        if not shown:
            click.echo("none failed or was skipped, of what was asked for", err=True)
    for words in delivery_list.unmatched(choice, unmatched) if unmatched else ():
        click.echo(words, err=True)
    if len(failures) > limit:
        click.echo(f"there are more than {limit:,}; see them with --limit", err=True)


@click.command()
@_filters
@click.option("--all", "is_all", is_flag=True, help="Everything that was not mailed. Needed without any other choice.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--yes", "is_sure", is_flag=True, help=f"Don't ask, also for more than {_MANY}.")
@click.pass_context
def retry(
    ctx: click.Context,
    tokens: tuple[int, ...],
    account: str | None,
    reason: str | None,
    since: datetime | None,
    until: datetime | None,
    is_all: bool,
    dry_run: bool,
    is_sure: bool,
) -> None:
    """Put back what was not mailed, to be tried again at once.

    Only what failed or was skipped and may still be mailed: what expired, was consumed, or whose account
    has another status by now is told and left. What was sent is never put back: a mail that got lost
    behind SES needs a new token. Exits with 1 when a token that was named could not be put back.
    """
    choice = _choice(tokens, account, reason, since, until)
    narrowed = [tokens, account, reason, since, until]
    if is_all == any(narrowed):
        raise SettingError(
            "--all is more than the other choices" if is_all else "nothing is chosen",
            "give --all alone, or one or more of --token, --account, --reason, --since, --until",
        )
    url, queue = _url_and_queue(ctx)
    from mailroom_collector.operations.figures import RetryResult
    from mailroom_collector.operations.queries.failures import put_back, read_failures
    from mailroom_collector.operations.queries.unmatched import read_unmatched
    from mailroom_collector.operations.text import delivery_list

    with _session(url, queue) as connection:
        if tokens and not any(narrowed[1:]):
            chosen, told, unmatched = list(tokens), [], None
        else:
            found = read_failures(connection, queue, choice, None)
            chosen = [one.token for one in found if one.stale is None]
            told = [RetryResult(one.token, one.stale) for one in found if one.stale is not None]
            unmatched = read_unmatched(connection, queue, choice, found)
            told += unmatched.tokens
        if not dry_run and not is_sure and len(chosen) > _MANY:
            what = f"this puts back {counted(len(chosen), 'delivery', 'deliveries')}, to be tried again at once"
            if not agreed(what, "give --yes if that is wanted, or see with --dry-run what it would do"):
                click.echo("nothing was put back", err=True)
                ctx.exit(1)
        told += put_back(connection, queue, chosen, dry_run=dry_run)
    for line in delivery_list.verdicts(told, dry_run=dry_run):
        click.echo(line)
    for words in delivery_list.unmatched(choice, unmatched._replace(tokens=[])) if unmatched else ():
        click.echo(words, err=True)
    if tokens and any(one.refused for one in told):
        ctx.exit(1)


# prune


@click.command()
@click.option(
    "--older-than", type=_Duration(), required=True, metavar="DURATION", help="Such as 90d. At least 1d; w, d, h, m, s."
)
@click.option("--dry-run", is_flag=True, help="Only count what would be removed.")
@click.pass_context
def prune(ctx: click.Context, older_than: timedelta, dry_run: bool) -> None:
    """Remove settled deliveries that are old from the ledger.

    It goes in small batches. A delivery goes once it was settled longer ago than the limit and its token is expired or
    consumed; it is never mailed again. The tokens stay: they are the application's. May be stopped
    at any time and run again, also beside running pipelines.
    """
    from mailroom_collector.operations.queries.removal import SHORTEST
    from mailroom_collector.operations.queries.removal import prune as run

    if older_than < SHORTEST:
        raise SettingError("--older-than is less than 1d", "somebody may still work on what is younger")
    url, queue = _url_and_queue(ctx)
    from mailroom_collector.operations.terminal.progress_bar import ProgressBar
    from mailroom_runtime.process.wakeup import Wakeup

    before = datetime.now(UTC) - older_than
    with _session(url, queue) as connection, Wakeup() as wakeup, ProgressBar(before) as bar:
        stopped, removal = False, None
        for removal in run(connection, queue, older_than, dry_run=dry_run):
            bar.reached(removal.reached, removal.total)
            if wakeup.signals():
                stopped = not removal.is_end
                break
    if removal is not None:
        from mailroom_collector.operations.text.durations import stamp

        counts = ", ".join(f"{state} {number:,}" for state, number in removal.removed.items() if number)
        click.echo(
            f"{'would remove' if dry_run else 'removed'} {_deliveries(removal.total)} settled before"
            f" {stamp(before)} UTC{f': {counts}' if counts else ''}"
        )
    if stopped:
        raise MailroomError("stopped by a signal before the end", "run it again to go on")


def _deliveries(number: int) -> str:
    return counted(number, "delivery", "deliveries")


# metrics


@click.command()
@click.option("--port", type=Whole(0, 65_535), required=True, metavar="PORT", help="To listen on; 0 takes a free one.")
@click.option("--address", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="To listen on.")
@click.pass_context
def metrics(ctx: click.Context, port: int, address: str) -> None:
    """Serve the ledger's figures to Prometheus.

    Until SIGTERM or SIGINT. One of them is enough for a queue, whatever pipelines work on it. Needs
    prometheus-client: pip install '.[metrics]' in the checkout, or pip install prometheus-client.
    """
    url, queue = _url_and_queue(ctx)
    try:
        import prometheus_client  # noqa: F401
    except ImportError:
        raise SettingError(
            "prometheus-client is not installed",
            "pip install '.[metrics]' in the checkout, or pip install prometheus-client",
        ) from None
    from mailroom_collector.operations.metrics.exporter import serve

    serve(url, queue, address, port)


COMMANDS: Final[tuple[click.Command, ...]] = (status, failed, retry, *PAUSE_COMMANDS, prune, metrics)
