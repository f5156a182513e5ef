"""Options of several commands of templates, and functions that read what they name."""

from pathlib import Path

import click

from mailroom_runtime.errors import MailroomError
from mailroom_sender.ses.request import Envelope
from mailroom_sender.settings import SenderSettings
from mailroom_sender.texts.files import SHIPPED, read
from mailroom_sender.texts.sample import Sample, samples
from mailroom_sender.texts.template import Template

folder_option = click.option(
    "--folder", type=click.Path(path_type=Path), metavar="FOLDER",
    help="The folder of your own templates: NAME.subject, NAME.txt and NAME.html. Unset, those that come with"
    " mailroom.",
)  # fmt: skip


def _complete_name(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click's signature
    incomplete: str,
) -> list[str]:
    """Return the names of the templates in the folder that begin with `incomplete`; none if it can't be read."""
    try:
        found = read_templates(ctx.params.get("folder"))
    except MailroomError:
        return []
    return [template.name for template in found if template.name.startswith(incomplete)]


names_argument = click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete_name)


def read_templates(folder: Path | None, names: tuple[str, ...] = ()) -> list[Template]:
    """Return the templates of the folder, or those that come with mailroom. Raises SettingError."""
    return read(folder or SHIPPED, names)


def read_samples(settings: SenderSettings, base_url: str | None) -> list[Sample]:
    """Return the sample mails that the sender would make with these settings."""
    return samples(Envelope(settings.source, settings.config_set, settings.escape_html, base_url))
