"""Pure: makes the exact parameters of SendBulkTemplatedEmail (SES API v1) from a batch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mailroom_sender.address.email_address import for_ses
from mailroom_sender.input.row import Row
from mailroom_sender.ses.login import contained, for_html, for_text

_json = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps() would make an encoder for each row


@dataclass(frozen=True, slots=True)
class Envelope:
    """The part that all calls of this sender have in common."""

    source: str
    config_set: str
    escape_html: bool
    base_url: str | None = None
    """The beginning of the links. None: the templates have it, and get only the values of the first version."""


def _data(row: Row, envelope: Envelope) -> dict[str, str]:
    login = for_html(row.login) if envelope.escape_html else contained(row.login)
    data = {"login": login, "secret": row.secret}
    if row.action.needs_code:
        data["code"] = row.code
    if envelope.base_url is not None:
        # Here and not in the default data: SES was seen to merge both key by key, but AWS promises the default only for
        # a destination without data of its own. SES drops a mail without an error when a value is missing.
        data["login_text"] = for_text(row.login)
        data["base_url"] = envelope.base_url
    return data


def build(batch: Sequence[Row], envelope: Envelope) -> dict[str, Any]:
    """Return the parameters for rows of one action. Each address must be one that for_ses() accepts."""
    action = batch[0].action
    empty = {"login": "", "secret": ""} | ({"code": ""} if action.needs_code else {})
    return {
        "Source": envelope.source,
        "ConfigurationSetName": envelope.config_set,
        "Template": action.template,
        "DefaultTemplateData": _json(empty),
        "Destinations": [
            {
                "Destination": {"ToAddresses": [for_ses(row.email)]},
                "ReplacementTemplateData": _json(_data(row, envelope)),
            }
            for row in batch
        ],
    }
