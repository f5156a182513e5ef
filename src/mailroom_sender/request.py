"""Pure: a batch to the exact parameters of SendBulkTemplatedEmail (SES API v1)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mailroom_sender.addresses import for_ses
from mailroom_sender.rows import Action, Row

TEMPLATES: Final = {Action.ACTIVATION: "activationv1", Action.PASSWORD_RECOVERY: "passwordrecoveryv1"}

_json = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps() would make an encoder for each row
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all calls of this sender have in common."""

    source: str
    config_set: str
    escape_html: bool


def _data(row: Row, escape_html: bool) -> dict[str, str]:
    login = row.login.translate(_MARKUP) if escape_html else row.login
    data = {"login": login, "secret": row.secret}
    return data | {"code": row.code} if row.action is Action.PASSWORD_RECOVERY else data


def build(batch: Sequence[Row], envelope: Envelope) -> dict[str, Any]:
    """Return the parameters for rows of one action, each of which addresses.for_ses() takes."""
    action = batch[0].action
    empty = {"login": "", "secret": ""} | ({"code": ""} if action is Action.PASSWORD_RECOVERY else {})
    return {
        "Source": envelope.source,
        "ConfigurationSetName": envelope.config_set,
        "Template": TEMPLATES[action],
        "DefaultTemplateData": _json(empty),
        "Destinations": [
            {
                "Destination": {"ToAddresses": [for_ses(row.email)]},
                "ReplacementTemplateData": _json(_data(row, envelope.escape_html)),
            }
            for row in batch
        ],
    }
