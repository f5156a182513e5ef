"""The command templates preview."""

from pathlib import Path
from typing import Final

import click

from mailroom_sender.commands.aws import aws_questions
from mailroom_sender.commands.command_input import CommandInput
from mailroom_sender.commands.stdout import print_line
from mailroom_sender.commands.templates_options import (
    folder_option,
    names_argument,
    read_samples,
    read_templates,
)
from mailroom_sender.texts.preview import rendered_by_ses, rendered_here, write
from mailroom_sender.texts.sample import data_for

_EXAMPLE_URL: Final = "https://app.example.com"


@click.command()
@folder_option
@click.option(
    "--out", type=click.Path(path_type=Path), default="preview", show_default=True, metavar="FOLDER",
    help="The folder to write the files to.",
)  # fmt: skip
@click.option("--ses", "by_ses", is_flag=True, help="Let SES render the templates that it has.")
@names_argument
@click.pass_obj
def preview(given: CommandInput, folder: Path | None, out: Path, by_ses: bool, names: tuple[str, ...]) -> int:
    """Write what the mails look like to files.

    Writes NAME.html for a browser, NAME.txt, and NAME.eml for a mail program, for an account that is made up. Needs no
    AWS; with --ses, needs ses:TestRenderTemplate.
    """
    settings = given[0]
    ours = read_templates(folder, names)
    aws = aws_questions() if by_ses else None
    base_url = settings.link_base_url
    if aws is None and base_url is None:
        base_url = _EXAMPLE_URL
        click.echo(f"MAILROOM_LINK_BASE_URL is not set: the links show {base_url}", err=True)
    known = read_samples(settings, base_url)
    for template in ours:
        data = data_for(template.name, known)
        mail = rendered_here(template, data) if aws is None else rendered_by_ses(aws, template.name, data)
        write(out, template.name, mail, settings.source, print_line)
    return 0
