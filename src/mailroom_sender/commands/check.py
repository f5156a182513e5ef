"""The command check."""

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import click

from mailroom_runtime.errors import SettingError
from mailroom_runtime.log import escape
from mailroom_sender.address.email_address import UnfitAddress, for_ses
from mailroom_sender.check.checks import run
from mailroom_sender.check.finding import Finding, Status, exit_status, lines, summary
from mailroom_sender.commands.aws import aws_questions
from mailroom_sender.commands.command_input import CommandInput
from mailroom_sender.commands.stdout import print_line, style

_COLOURS: Final = {Status.OK: "green", Status.WARNING: "yellow", Status.TASK: "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--mail-to", metavar="ADDRESS",
    help="Also send the sample mails to this address; success@simulator.amazonses.com accepts them and delivers"
    " them to nobody.",
)  # fmt: skip
@click.pass_obj
def check(given: CommandInput, as_json: bool, mail_to: str | None) -> int:
    """Check whether everything is ready to send.

    Checks credentials, region, quota, the identity of the From, configuration set, templates, output folder and
    database. Each line names the AWS permission that it needs. Without that permission, the check is skipped.
    Exits with 0 when nothing must be done, else with 1. Sends nothing without --mail-to.
    """
    settings, url = given
    address = None if mail_to is None else _address(mail_to)
    findings = run(settings, url if url.is_set else None, address, aws_questions)
    found = list(findings if as_json else _printed(findings))
    if as_json:
        print_line(_json(found))
    else:
        print_line(style(summary(found), bold=True))
    return exit_status(found)


def _address(text: str) -> str:
    try:
        return for_ses(text)
    except UnfitAddress as error:
        raise SettingError(f"--mail-to: {error}", "give an address like success@simulator.amazonses.com") from None


def _printed(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Print each finding as soon as it is there, and yield it."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for finding in findings:
        status = finding.status.value
        first, *more = [escape(line) for line in lines(finding, width)]
        print_line(style(status, _COLOURS[finding.status], bold=True) + first[len(status) :])
        for line in more:
            print_line(line)
        yield finding


def _json(found: Sequence[Finding]) -> str:
    checks = [finding.to_json() for finding in found]
    return json.dumps({"ready": not exit_status(found), "checks": checks}, indent=2, ensure_ascii=False)
