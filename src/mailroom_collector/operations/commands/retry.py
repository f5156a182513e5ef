"""The command retry."""

from typing import Final, NamedTuple

import click

from mailroom_collector.operations.commands.confirmation import is_confirmed
from mailroom_collector.operations.commands.options import choice_options
from mailroom_collector.operations.commands.target import url_and_queue
from mailroom_collector.operations.figures import Choice, RetryResult, Unmatched
from mailroom_collector.operations.queries.failures import put_back, read_failures
from mailroom_collector.operations.queries.session import open_session
from mailroom_collector.operations.queries.unmatched import read_unmatched
from mailroom_collector.operations.text import delivery_list
from mailroom_runtime.errors import SettingError
from mailroom_runtime.postgres.connection import DeadlineConnection
from mailroom_runtime.words import counted

_MANY: Final = 10
"""Deliveries that are put back without a question."""


@click.command()
@choice_options
@click.option(
    "--all", "is_all", is_flag=True, help="Everything that was not mailed. Required if no other choice is given."
)
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@click.option("--yes", "is_sure", is_flag=True, help=f"Don't ask before more than {_MANY} are put back.")
@click.pass_context
def retry(ctx: click.Context, chosen: Choice, is_all: bool, dry_run: bool, is_sure: bool) -> None:
    """Put back what was not mailed, to be tried again at once.

    Only what failed or was skipped, and may still be mailed, is put back. The command says what it leaves and why:
    what has expired or was consumed, or whose account has another status by now. What was sent is never put back: for
    a mail that was lost behind SES, insert a new token. Exits with 1 when a token that was named can't be put back.
    """
    if is_all == (chosen != Choice()):
        raise SettingError(
            "--all is more than the other choices" if is_all else "nothing is chosen",
            "give --all alone, or one or more of --token, --account, --reason, --since, --until",
        )
    url, queue = url_and_queue(ctx)
    with open_session(url, queue) as connection:
        candidates = _candidates(connection, queue, chosen)
        if not dry_run and not is_sure and not _is_wanted(len(candidates.tokens)):
            click.echo("nothing was put back", err=True)
            ctx.exit(1)
        results = [*candidates.refused, *put_back(connection, queue, candidates.tokens, dry_run=dry_run)]
    for line in delivery_list.verdicts(results, dry_run=dry_run):
        click.echo(line)
    if candidates.unmatched is not None:
        for words in delivery_list.unmatched(chosen, candidates.unmatched._replace(tokens=[])):
            click.echo(words, err=True)
    if chosen.tokens and any(one.refused for one in results):
        ctx.exit(1)


class _Candidates(NamedTuple):
    """The tokens to put back, the tokens that are refused already, and what there is instead of a choice."""

    tokens: list[int]
    refused: list[RetryResult]
    unmatched: Unmatched | None


def _candidates(connection: DeadlineConnection, queue: str, chosen: Choice) -> _Candidates:
    if chosen.tokens and chosen == Choice(chosen.tokens):
        return _Candidates(list(chosen.tokens), [], None)  # the database judges each of them as it puts it back
    found = read_failures(connection, queue, chosen, None)
    unmatched = read_unmatched(connection, queue, chosen, found)
    return _Candidates(
        [one.token for one in found if one.stale is None],
        [*(RetryResult(one.token, one.stale) for one in found if one.stale is not None), *unmatched.tokens],
        unmatched,
    )


def _is_wanted(count: int) -> bool:
    """Ask before many are put back. Raises SettingError when there is nobody to ask."""
    if count <= _MANY:
        return True
    what = f"this puts back {counted(count, 'delivery', 'deliveries')}, to be tried again at once"
    return is_confirmed(what, "give --yes if that is wanted, or see with --dry-run what it would do")
