"""The commands beside sending: check, and templates list, diff, push and preview."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mailroom_runtime.errors import MailroomError, SettingError
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_sender.settings import SenderSettings

if TYPE_CHECKING:
    from mailroom_sender.check.finding import Finding
    from mailroom_sender.texts.sample import Sample
    from mailroom_sender.texts.template import Template

Given = tuple[SenderSettings, DatabaseUrl]
"""The settings, and where the database is, if it is anywhere."""

_COLOURS = {"ok": "green", "warning": "yellow", "to do": "red"}


def _say(text: str, colour: str | None = None, *, bold: bool = False) -> None:
    """Write a line to stdout, in colour on a terminal unless NO_COLOR (no-color.org) says no."""
    colours = False if os.environ.get("NO_COLOR") else None
    click.echo(click.style(text, fg=colour, bold=bold) if colour or bold else text, color=colours)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--mail-to", metavar="ADDRESS",
    help="Also send the sample mails there; success@simulator.amazonses.com takes them for nobody.",
)  # fmt: skip
@click.pass_obj
def check(given: Given, as_json: bool, mail_to: str | None) -> int:
    """Look whether everything is ready to send.

    Credentials, region, quota, the From's identity, configuration set, templates, output folder and
    database. Each line names the permission that it needs; what is not permitted is not checked.
    Exits with 0 when nothing must be done, else with 1. Sends nothing without --mail-to.
    """
    settings, url = given
    address = None if mail_to is None else _address(mail_to)
    from mailroom_sender.check.checks import run
    from mailroom_sender.check.finding import exit_status, summary

    found = []
    for finding in run(settings, url if url.is_set else None, address):
        found.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        told = {"ready": not exit_status(found), "checks": [finding.to_json() for finding in found]}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _say(summary(found), bold=True)
    return exit_status(found)


def _address(text: str) -> str:
    from mailroom_sender.address.email_address import UnfitAddress, for_ses

    try:
        return for_ses(text)
    except UnfitAddress as error:
        raise SettingError(f"--mail-to: {error}", "give an address like success@simulator.amazonses.com") from None


def _tell(finding: "Finding") -> None:
    from mailroom_runtime.log import escape
    from mailroom_sender.check.finding import lines

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    status = finding.status.value
    first, *more = [escape(line) for line in lines(finding, width)]
    colours = False if os.environ.get("NO_COLOR") else None
    click.echo(click.style(status, fg=_COLOURS[status], bold=True) + first[len(status) :], color=colours)
    for line in more:
        click.echo(line)


@click.group()
def templates() -> None:
    """See and change the mails' texts: here, and in SES."""


_folder = click.option(
    "--folder", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Your own templates: NAME.subject, NAME.txt and NAME.html. Unset, those that come with mailroom.",
)  # fmt: skip


def _complete_name(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[str]:
    """Return the names of the templates in the folder that begin so; none if it can't be read."""
    try:
        return [template.name for template in _read(ctx.params.get("folder")) if template.name.startswith(incomplete)]
    except MailroomError:
        return []


_names = click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete_name)


def _read(folder: Path | None, names: tuple[str, ...] = ()) -> "list[Template]":
    from mailroom_sender.texts.files import SHIPPED, read

    return read(folder or SHIPPED, names)


def _samples(settings: SenderSettings, base_url: str | None) -> "list[Sample]":
    from mailroom_sender.ses.request import Envelope
    from mailroom_sender.texts.sample import samples

    return samples(Envelope(settings.source, settings.config_set, settings.escape_html, base_url))


@templates.command("list")
@_folder
def list_(folder: Path | None) -> int:
    """Print each template's name, and whether SES has the same. Needs ses:GetTemplate."""
    ours = _read(folder)
    from mailroom_sender.aws.questions import AwsQuestions
    from mailroom_sender.texts.comparison import state
    from mailroom_sender.texts.push import in_ses

    aws = AwsQuestions()
    width = max(len(template.name) for template in ours)
    for template in ours:
        told = state(template, in_ses(aws, template.name))
        _say(f"{template.name:<{width}}  {told}", None if told == "same" else "yellow")
    return 0


@templates.command()
@_folder
@_names
def diff(folder: Path | None, names: tuple[str, ...]) -> int:
    """Print what push would change in SES, as a unified diff.

    Exits with 1 if there is any difference, else with 0. Needs ses:GetTemplate.
    """
    ours = _read(folder, names)
    from mailroom_runtime.log import escape
    from mailroom_sender.aws.questions import AwsQuestions
    from mailroom_sender.texts.comparison import difference
    from mailroom_sender.texts.push import in_ses

    aws = AwsQuestions()
    told = [line for template in ours for line in difference(template, in_ses(aws, template.name))]
    for line in told:
        is_head = line.startswith(("--- ", "+++ "))
        colour = None if is_head else {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        _say(escape(line), colour, bold=is_head)
    return int(bool(told))


@templates.command()
@_folder
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@click.option("--yes", is_flag=True, help="Overwrite what is different in SES without asking.")
@_names
@click.pass_obj
def push(given: Given, folder: Path | None, dry_run: bool, yes: bool, names: tuple[str, ...]) -> int:
    """Bring templates to SES, all or those named: create what is missing, update what differs.

    Asks before it overwrites; without a terminal, --yes must say so. Refuses a template that needs a value
    that is not sent, or whose HTML uses login_text. Needs ses:GetTemplate, ses:CreateTemplate, ses:UpdateTemplate.
    """
    ours = _read(folder, names)
    from mailroom_sender.aws.questions import AwsQuestions
    from mailroom_sender.texts.push import plan, refuse_unfit
    from mailroom_sender.texts.push import push as bring

    refuse_unfit(ours, _samples(given[0], given[0].link_base_url))
    aws = AwsQuestions()
    steps = plan(aws, ours)
    for step in steps:
        for condition in step.conditions:
            told = f"{step.template.name}: push it only when {condition}, or SES drops mails in silence"
            click.echo(told, err=True)
    if dry_run:
        for step in steps:
            _say(step.text)
        return 0
    for step in steps:
        if step.action == "UpdateTemplate" and not yes:
            _ask(step.text)
    bring(aws, steps, _say)
    return 0


def _ask(told: str) -> None:
    if not sys.stdin.isatty():
        raise SettingError(f"{told}: not done", "see 'mailroom-send templates diff', then push with --yes")
    click.confirm(f"{told}?", abort=True, err=True)


@templates.command()
@_folder
@click.option(
    "--out", type=click.Path(path_type=Path), default="preview", show_default=True, metavar="FOLDER",
    help="Where the files go.",
)  # fmt: skip
@click.option("--ses", "by_ses", is_flag=True, help="Let SES render the templates that it has.")
@_names
@click.pass_obj
def preview(given: Given, folder: Path | None, out: Path, by_ses: bool, names: tuple[str, ...]) -> int:
    """Write what the mails look like to files: NAME.html for a browser, NAME.txt, and NAME.eml for a mail program.

    With a made-up account, and without AWS; with --ses, needs ses:TestRenderTemplate.
    """
    settings = given[0]
    ours = _read(folder, names)
    from mailroom_sender.texts import preview
    from mailroom_sender.texts.sample import data_for

    aws = None
    base_url = settings.link_base_url
    if by_ses:
        from mailroom_sender.aws.questions import AwsQuestions

        aws = AwsQuestions()
    elif base_url is None:
        base_url = "https://app.example.com"
        click.echo(f"no MAILROOM_LINK_BASE_URL: the links show {base_url}", err=True)
    known = _samples(settings, base_url)
    for template in ours:
        data = data_for(template.name, known)
        if aws is None:
            mail = preview.rendered_here(template, data)
        else:
            mail = preview.rendered_by_ses(aws, template.name, data)
        preview.write(out, template.name, mail, settings.source, _say)
    return 0
